//! The tabular path on real users: KuaiRec's `user_features`, imputed, scaled, and reduced to 95 % of variance.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::File;
use std::path::Path;

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use upnext_features::category::Vocabulary;
use upnext_features::impute::{Imputer, Imputing};
use upnext_features::pca::{Keep, Pca};
use upnext_features::scale::{Scaler, Scaling};
use upnext_features::{Table, TrainRows};

/// The numbers of `user_features.parquet`, and `user_active_degree` by the rank of its name, as a table.
fn user_features() -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/kuairec/user_features.parquet");
    let file = File::open(&path).expect("a file of the repository");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20);
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() != "user_id"
            && let Some(values) = numbers(field.name(), column)
        {
            names.push(field.name().clone());
            columns.push(values);
        }
    }
    let n_rows = batch.num_rows();
    let values = (0..n_rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    Table::from_values(names, n_rows, values, 0.0)
}

fn numbers(name: &str, column: &ArrayRef) -> Option<Vec<f32>> {
    if let Some(values) = column.as_primitive_opt::<Int32Type>() {
        return Some(values.iter().map(|x| x.map_or(f32::NAN, |x| x as f32)).collect());
    }
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        return Some(values.iter().map(|x| x.map_or(f32::NAN, |x| x as f32)).collect());
    }
    // The other texts are ranges of numbers that have a column of their own.
    if name != "user_active_degree" {
        return None;
    }
    let texts: Vec<Option<&str>> = match column.as_string_opt::<i32>() {
        Some(texts) => texts.iter().collect(),
        None => column.as_string::<i64>().iter().collect(),
    };
    let degrees = Vocabulary::fit(&texts, &TrainRows::all(texts.len()), 1);
    let mut ranked: Vec<&str> = degrees.values().collect();
    ranked.sort_unstable();
    let rank = |text: &str| ranked.binary_search(&text).expect("a value of the column") as f32;
    Some(texts.iter().map(|text| text.map_or(f32::NAN, rank)).collect())
}

/// The KuaiRec design kept 23 of 26 user features at 95 %. The 26 are all of `user_features` that are numbers,
/// and the degree of activity as a number. scikit-learn 1.9.1 (median, `StandardScaler`, `PCA(0.95)`) on the same
/// columns: 23 components, 0.95523 of the variance, the first two 0.08830 and 0.08408.
#[test]
fn twenty_six_user_features_of_kuairec_become_twenty_three() {
    let table = user_features();
    assert_eq!((table.matrix.n_rows(), table.names.len()), (7176, 26));
    let train = TrainRows::all(7176);
    let imputer = Imputer::fit(&table, &train, Imputing::Median);
    let full = imputer.apply(&table);
    // Seven encrypted columns have gaps; their flags are left out here, as the design had none.
    assert_eq!(full.names.len(), 26 + 7);
    let values = (0..7176).flat_map(|row| full.matrix.row(row)[..26].to_vec()).collect();
    let mut scaled = upnext_math::Matrix::from_rows(7176, 26, values);
    Scaler::fit_alike(&scaled, &train, Scaling::Standard).apply(&mut scaled);
    let pca = Pca::fit(&scaled, &train, Keep::Share(0.95));
    let share: f32 = pca.ratios().iter().sum();
    println!("{} columns: {}", table.names.len(), table.names.join(", "));
    println!("{} components hold {:.5} of the variance", pca.n_components(), share);
    assert_eq!(pca.n_components(), 23);
    assert!((share - 0.95523).abs() < 1e-4, "{share}");
    assert!((pca.ratios()[0] - 0.08830).abs() < 1e-4 && (pca.ratios()[1] - 0.08408).abs() < 1e-4);
}
