use super::*;

const SHAPE: Shape =
    Shape { dimension: 8, n_blocks: 2, n_heads: 2, length: 6, filter: (0.0, 0), wiring: Wiring::PreNorm };

fn small(n_videos: usize, settings: &Settings) -> (Parameters, Network) {
    let mut parameters = Parameters::new();
    let shape = Shape { filter: (settings.filter, 2), wiring: settings.wiring, ..SHAPE };
    let kind = if settings.negatives == 0 { Kind::Dense } else { Kind::Rows };
    let network =
        Network::new(&mut parameters, shape, (n_videos, kind, settings.dropout), &mut Random::new(3));
    (parameters, network)
}

#[test]
fn the_gradient_of_the_whole_network_is_that_of_small_differences() {
    let interactions = upnext_data::Interactions::from_users(7, Vec::new());
    let training = Training::of(&interactions, upnext_data::Order::Sequence, 1);
    let plain = Settings::default();
    let filtered = Settings { prefixes: true, filter: 0.7, ..Settings::default() };
    let sampled = Settings { negatives: 4, ..Settings::default() };
    let steady = Settings { dropout: 0.0, ..Settings::default() };
    let after = Settings { wiring: Wiring::PostNorm, ..filtered.clone() };
    let gated = Settings { wiring: Wiring::Gated, ..sampled.clone() };
    for settings in [plain, steady, filtered, sampled, after, gated] {
        let (mut parameters, network) = small(7, &settings);
        // Vectors that a small step hardly turns.
        for name in ["videos", "places", "start"] {
            let id = parameters.find(name).or(parameters.find(&format!("{name}.weight"))).unwrap();
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= 25.0);
        }
        let histories: [&[u32]; 3] = [&[0, 1, 2, 3], &[5], &[6, 6, 1]];
        let lesson = Lesson {
            name: "sasrec",
            network: &network,
            settings: &settings,
            training: &training,
            terms: None,
            histories: vec![],
        };
        let negatives = [0, 3, 4, 1];
        // The same seed leaves out the same numbers each time.
        let loss = |parameters: &Parameters, gradients: &mut Gradients| {
            let table = Table::new(parameters.get(network.videos.table), parameters.precision());
            let others = if settings.negatives == 0 { Others::All(&table) } else { Others::Some(&negatives) };
            let part = Part { histories: &histories, n_targets: 8, others };
            lesson.learn(parameters, &part, &mut Random::new(5), gradients)
        };
        let mut gradients = Gradients::zeros(&parameters);
        let whole = loss(&parameters, &mut gradients);
        if settings.dropout == 0.0 {
            let table = Table::new(parameters.get(network.videos.table), parameters.precision());
            let part = Part { histories: &histories, n_targets: 8, others: Others::All(&table) };
            let mut apart = Gradients::zeros(&parameters);
            let sum = lesson.learn_by_few(1, &parameters, part, &mut Random::new(5), &mut apart);
            assert!((sum - whole).abs() < 1e-5, "one history at a time: {sum}, all at once: {whole}");
            assert!((apart.norm() - gradients.norm()).abs() < 1e-4 * gradients.norm());
        }
        for id in parameters.ids() {
            let n_columns = parameters.get(id).n_columns();
            for at in (0..parameters.get(id).values().len()).step_by(13) {
                let analytic = gradients.row(id, (at / n_columns) as u32)[at % n_columns];
                let before = parameters.get(id).values()[at];
                let mut at_step = |step: f32| {
                    parameters.get_mut(id).values_mut()[at] = before + step;
                    loss(&parameters, &mut Gradients::zeros(&parameters))
                };
                let numeric = (at_step(4e-3) - at_step(-4e-3)) / 8e-3;
                parameters.get_mut(id).values_mut()[at] = before;
                let error = (f64::from(analytic) - numeric).abs();
                let name = parameters.name(id);
                assert!(error < 2e-3 * (1.0 + numeric.abs()), "{name} {at}: {analytic} is not {numeric}");
            }
        }
    }
}

#[test]
fn vectors_of_terms_have_the_gradients_of_small_differences() {
    let interactions = upnext_data::Interactions::from_users(7, Vec::new());
    let training = Training::of(&interactions, upnext_data::Order::Sequence, 1);
    let settings = Settings { content: true, dropout: 0.0, ..Settings::default() };
    let (mut parameters, network) = small(7, &settings);
    let rows = (0..7).map(|video| vec![(video % 3, 0.8), (3 + video % 2, 0.6)]);
    let terms = Terms::new(&mut parameters, Sparse::from_rows(5, rows), 0.5, &mut Random::new(4));
    for name in ["videos", "places.weight", "start"] {
        if let Some(id) = parameters.find(name) {
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= 25.0);
        }
    }
    let histories: [&[u32]; 3] = [&[0, 1, 2, 3], &[5], &[6, 6, 1]];
    let (name, terms) = ("sasrec", Some(terms));
    let lesson = Lesson {
        name,
        network: &network,
        settings: &settings,
        training: &training,
        terms,
        histories: vec![],
    };
    let epoch = vec![histories.to_vec()];
    train::assert_gradients_of_step(&&lesson, &epoch, &mut parameters, (2, 13, 4e-3));
}

#[test]
fn a_batch_is_its_single_histories_and_old_videos_beyond_the_length_are_not_read() {
    for settings in [Settings::default(), Settings { filter: 0.5, ..Settings::default() }] {
        let (parameters, network) = small(20, &settings);
        let model = Sasrec { name: "sasrec", network, parameters };
        let videos: Vec<u32> = (0..12).collect();
        let (long, cut) = (History::of_positives(&videos), History::of_positives(&videos[6..]));
        let (short, none) = (History::of_positives(&[4]), History::default());
        let together = model.questions(&[&long, &short, &none, &cut]);
        for (at, history) in [&long, &short, &none, &cut].into_iter().enumerate() {
            let alone = model.questions(&[history]);
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(alone.values().iter().zip(together.row(at)).all(close), "history {at}");
        }
        assert_eq!(together.row(0), together.row(3));
    }
}

#[test]
fn every_history_is_in_one_batch_and_the_seed_decides_the_order() {
    let histories: Vec<Vec<u32>> = (0..300).map(|user| (0..1 + user % 60).collect()).collect();
    let slices = || histories.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let of = |seed| batches(slices(), 32, &mut Random::new(seed));
    assert_eq!(of(1).iter().map(Vec::len).sum::<usize>(), 300);
    assert!(of(1) == of(1) && of(1) != of(2));
    let spread = |batch: &Vec<&[u32]>| batch[batch.len() - 1].len() - batch[0].len();
    assert!(of(1).iter().all(|batch| spread(batch) <= 10), "batches are of like length");
}
