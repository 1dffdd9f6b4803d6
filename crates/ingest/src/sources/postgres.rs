//! PostgreSQL: a portal in a transaction that only reads, so that the server hands out a bounded number of rows
//! at a time and all of them are of one moment.

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, IsolationLevel, NoTls, Row, Statement, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::IngestError;
use crate::source::text;
use crate::sources::rows::{BATCH_ROWS, ColumnType, Enough, Rows, Writer};
use crate::sources::sql::{Failed, Query};
use crate::table::Cell;

/// A server that does not answer within this time is not there.
const CONNECT_SECONDS_MAX: u64 = 10;

/// The rows of a query.
pub(super) fn rows(
    url: String,
    password: Option<String>,
    failed: Failed,
    query: Query,
) -> Result<Rows, IngestError> {
    Rows::start(failed.clone(), move |writer| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed.because("cannot start", error))?;
        runtime.block_on(async {
            let mut client = connect(&url, password, &failed).await?;
            read(&mut client, &failed, &query, writer).await
        })
    })
}

/// What a URL says of TLS beside what the client knows: a file of certificates to trust.
fn take_root(url: &str) -> (String, Option<String>) {
    let Some((before, query)) = url.split_once('?') else { return (url.into(), None) };
    let mut root = None;
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.strip_prefix("sslrootcert=") {
            Some(file) => {
                root = Some(file.to_string());
                false
            }
            None => true,
        })
        .collect();
    (if rest.is_empty() { before.into() } else { format!("{before}?{}", rest.join("&")) }, root)
}

async fn connect(url: &str, password: Option<String>, failed: &Failed) -> Result<Client, IngestError> {
    let (url, root) = take_root(url);
    let mut config: Config = url.parse().map_err(|error| {
        failed.because(
            "is not a URL of PostgreSQL; write postgres://user@host:5432/database, \
             signs such as @ / ? in a password as %40 %2F %3F",
            said(&error),
        )
    })?;
    if config.get_password().is_none()
        && let Some(password) = password
    {
        config.password(password);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX));
    }
    if config.get_application_name().is_none() {
        config.application_name("upnext");
    }
    let cannot = |error: tokio_postgres::Error| {
        let what = match error.as_db_error() {
            Some(_) => "the server refuses the connection; check user, password and database",
            None => "cannot connect; check host, port, that the server runs, and sslmode",
        };
        failed.because(what, said(&error))
    };
    // Certificates are always checked; who has none to check says sslmode=disable.
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(cannot)?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let tls = tls(root.as_deref()).map_err(|error| failed.because("TLS cannot be set up", error))?;
    let (client, connection) = config.connect(tls).await.map_err(cannot)?;
    tokio::spawn(connection);
    Ok(client)
}

fn tls(root: Option<&str>) -> Result<MakeRustlsConnect, Box<dyn Error>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    super::name_tls_provider();
    let mut roots = rustls::RootCertStore::empty();
    let Some(file) = root else {
        // A machine without certificates trusts nobody; whether that matters the server decides.
        return Ok(match MakeRustlsConnect::with_native_certs() {
            Ok((tls, _unreadable)) => tls,
            Err(_) => with_roots(roots),
        });
    };
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| format!("{file}: {error}"))? {
        roots.add(certificate?)?;
    }
    Ok(with_roots(roots))
}

fn with_roots(roots: rustls::RootCertStore) -> MakeRustlsConnect {
    MakeRustlsConnect::new(
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
    )
}

/// What a server said, with its hints: the library's own words are only "db error".
fn said(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else {
        let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
        return format!("{error}{}", if error.to_string().contains(cause.as_str()) { "" } else { &cause });
    };
    let mut text = format!("{} ({})", said.message(), said.code().code());
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text += &format!("; {more}");
    }
    text
}

async fn read(
    client: &mut Client,
    failed: &Failed,
    query: &Query,
    writer: &mut Writer,
) -> Result<(), IngestError> {
    let begun = client
        .build_transaction()
        .read_only(true)
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await
        .map_err(|error| failed.because("cannot begin to read", said(&error)))?;
    match query {
        Query::Whole(query) => {
            let statement = prepared(&begun, query, failed).await?;
            if !statement.params().is_empty() {
                return Err(failed.query(query, "it has parameters; write their values into it"));
            }
            if columns(&statement, writer).is_err() {
                return Ok(());
            }
            write(&begun, &statement, &[], writer).await.map(drop).map_err(|e| failed.query(query, said(&e)))
        }
        Query::Batches { users, events, users_per_batch } => {
            let statement = prepared(&begun, events, failed).await?;
            if columns(&statement, writer).is_err() {
                return Ok(());
            }
            let all = prepared(&begun, users, failed).await?;
            let of_users = |error| failed.query(users, said(&error));
            let all = begun.bind(&all, &[]).await.map_err(of_users)?;
            let most = i32::try_from(*users_per_batch).unwrap_or(i32::MAX);
            loop {
                let batch = begun.query_portal(&all, most).await.map_err(of_users)?;
                if batch.is_empty() {
                    return Ok(());
                }
                let batch = array_of(&batch).map_err(of_users)?;
                let more = write(&begun, &statement, &[&batch], writer).await;
                if !more.map_err(|error| failed.query(events, said(&error)))? {
                    return Ok(());
                }
            }
        }
    }
}

async fn prepared(begun: &Transaction<'_>, query: &str, failed: &Failed) -> Result<Statement, IngestError> {
    let statement = begun.prepare(query).await.map_err(|error| failed.query(query, said(&error)))?;
    if statement.columns().is_empty() {
        return Err(failed.query(query, "it is not a query that reads rows"));
    }
    Ok(statement)
}

fn columns(statement: &Statement, writer: &mut Writer) -> Result<(), Enough> {
    writer.columns(statement.columns().iter().map(|column| {
        let kind = column.type_();
        (column.name().to_string(), ColumnType { name: kind.name().into(), is_readable: readable(kind) })
    }))
}

/// Writes all rows of a statement; `false` where nobody wants more.
async fn write(
    begun: &Transaction<'_>,
    statement: &Statement,
    parameters: &[&(dyn ToSql + Sync)],
    writer: &mut Writer,
) -> Result<bool, tokio_postgres::Error> {
    let portal = begun.bind(statement, parameters).await?;
    loop {
        let rows = begun.query_portal(&portal, BATCH_ROWS as i32).await?;
        for row in &rows {
            for at in 0..row.len() {
                writer.cell(cell(row, at)?);
            }
            if writer.end_row().is_err() {
                return Ok(false);
            }
        }
        if rows.len() < BATCH_ROWS {
            return Ok(true);
        }
    }
}

fn cell(row: &Row, at: usize) -> Result<Cell<'static>, tokio_postgres::Error> {
    let value: Option<Raw> = row.try_get(at)?;
    Ok(value.map_or(Cell::Missing, |Raw(bytes)| decode(row.columns()[at].type_(), bytes)))
}

/// A value as the server sent it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// An array as text, whatever its type: the server reads it as it would in a query.
#[derive(Debug)]
struct ArrayText(String);

impl ToSql for ArrayText {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn array_of(users: &[Row]) -> Result<ArrayText, tokio_postgres::Error> {
    let mut all = String::from("{");
    for row in users {
        let id = match cell(row, 0)? {
            Cell::Text(text) => text.into_owned(),
            Cell::Int(int) => int.to_string(),
            Cell::Float(float) => float.to_string(),
            Cell::Missing | Cell::Time(_) | Cell::List(_) => continue,
        };
        if all.len() > 1 {
            all.push(',');
        }
        all.push('"');
        for sign in id.chars() {
            if matches!(sign, '"' | '\\') {
                all.push('\\');
            }
            all.push(sign);
        }
        all.push('"');
    }
    all.push('}');
    Ok(ArrayText(all))
}

fn readable(kind: &Type) -> bool {
    match kind.kind() {
        Kind::Array(inner) => !matches!(inner.kind(), Kind::Array(_)) && readable(inner),
        Kind::Enum(_) => true,
        Kind::Domain(inner) => readable(inner),
        _ => [
            Type::BOOL,
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::OID,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::NUMERIC,
            Type::TEXT,
            Type::VARCHAR,
            Type::BPCHAR,
            Type::NAME,
            Type::UNKNOWN,
            Type::JSON,
            Type::JSONB,
            Type::UUID,
            Type::TIMESTAMP,
            Type::TIMESTAMPTZ,
            Type::DATE,
        ]
        .contains(kind),
    }
}

/// Milliseconds from 1970 to 2000, where PostgreSQL counts from.
const MS_TO_2000: i64 = 946_684_800_000;

/// A value from its binary form; what is not whole is missing.
fn decode(kind: &Type, bytes: &[u8]) -> Cell<'static> {
    fn be<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
    let cell = match kind.kind() {
        Kind::Array(inner) => list(inner, bytes).map(Cell::List),
        Kind::Domain(inner) => return decode(inner, bytes),
        _ => match *kind {
            Type::BOOL => bytes.first().map(|&yes| Cell::Int(i64::from(yes != 0))),
            Type::INT2 => be(bytes).map(|b| Cell::Int(i16::from_be_bytes(b).into())),
            Type::INT4 => be(bytes).map(|b| Cell::Int(i32::from_be_bytes(b).into())),
            Type::INT8 => be(bytes).map(|b| Cell::Int(i64::from_be_bytes(b))),
            Type::OID => be(bytes).map(|b| Cell::Int(u32::from_be_bytes(b).into())),
            Type::FLOAT4 => be(bytes).map(|b| Cell::Float(f32::from_be_bytes(b).into())),
            Type::FLOAT8 => be(bytes).map(|b| Cell::Float(f64::from_be_bytes(b))),
            Type::NUMERIC => numeric(bytes),
            // `infinity` and `-infinity` are no moments.
            Type::TIMESTAMP | Type::TIMESTAMPTZ => be(bytes)
                .map(i64::from_be_bytes)
                .filter(|&us| us != i64::MAX && us != i64::MIN)
                .map(|us| Cell::Time(us.div_euclid(1_000).saturating_add(MS_TO_2000))),
            Type::DATE => be(bytes)
                .map(i32::from_be_bytes)
                .filter(|&days| days != i32::MAX && days != i32::MIN)
                .map(|days| Cell::Time(i64::from(days) * 86_400_000 + MS_TO_2000)),
            Type::UUID => (bytes.len() == 16).then(|| Cell::Text(uuid(bytes).into())),
            Type::JSONB => bytes.get(1..).map(|json| Cell::Text(text(json).into_owned().into())),
            _ => (!bytes.is_empty()).then(|| Cell::Text(text(bytes).into_owned().into())),
        },
    };
    cell.unwrap_or(Cell::Missing)
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// `numeric`: digits to the base 10,000, the first of which counts 10,000 to the power of `weight`.
fn numeric(bytes: &[u8]) -> Option<Cell<'static>> {
    /// Longer numbers are no numbers that anybody means.
    const WEIGHT_MAX: i16 = 80;
    let short = |at: usize| Some(i16::from_be_bytes(bytes.get(2 * at..2 * at + 2)?.try_into().ok()?));
    let (digits, weight, sign) = (short(0)?, short(1)?, short(2)? as u16);
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        // Not a number, or infinite: counted as such where it is read.
        _ => return Some(Cell::Float(f64::NAN)),
    };
    let mut whole = String::from(sign);
    let mut fraction = String::new();
    if weight > WEIGHT_MAX {
        return Some(Cell::Float(f64::INFINITY));
    }
    for place in 0..=weight.max(0) {
        let digit = if place < digits && place <= weight { short(4 + place as usize)? } else { 0 };
        whole += &format!("{digit:04}");
    }
    for place in (weight.max(-WEIGHT_MAX) + 1).min(0)..digits.max(0) {
        if place > weight {
            let digit = if place >= 0 { short(4 + place as usize)? } else { 0 };
            fraction += &format!("{digit:04}");
        }
    }
    match fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok()).flatten() {
        Some(int) => Some(Cell::Int(int)),
        None => format!("{whole}.{fraction}0").parse().ok().map(Cell::Float),
    }
}

/// An array of one dimension; its missing elements are left out.
fn list(inner: &Type, bytes: &[u8]) -> Option<Vec<String>> {
    let int = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match int(0)? {
        0 => return Some(Vec::new()),
        1 => {}
        _ => return None,
    }
    let length = usize::try_from(int(12)?).ok()?;
    let mut values = Vec::new();
    let mut at: usize = 20;
    for _ in 0..length {
        let size = int(at)?;
        at += 4;
        if let Ok(size) = usize::try_from(size) {
            let value = decode(inner, bytes.get(at..at.checked_add(size)?)?);
            at += size;
            match value {
                Cell::Float(float) => values.push(float.to_string()),
                value => values.extend(value.into_id()),
            }
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numeric_of(weight: i16, sign: u16, digits: &[i16]) -> Option<Cell<'static>> {
        let mut bytes = Vec::new();
        for short in [digits.len() as i16, weight, sign as i16, 0].iter().chain(digits) {
            bytes.extend(short.to_be_bytes());
        }
        numeric(&bytes)
    }

    #[test]
    fn numeric_is_read_by_its_digits_of_four() {
        assert_eq!(numeric_of(1, 0, &[12, 3456]), Some(Cell::Int(123_456)));
        assert_eq!(numeric_of(1, 0x4000, &[12]), Some(Cell::Int(-120_000)));
        assert_eq!(numeric_of(0, 0, &[3, 2500]), Some(Cell::Float(3.25)));
        // 0.00005 is 5000 at the second place behind the point.
        assert_eq!(numeric_of(-2, 0, &[5_000]), Some(Cell::Float(0.000_05)));
        assert_eq!(numeric_of(0, 0, &[]), Some(Cell::Int(0)));
        assert!(matches!(numeric_of(0, 0xC000, &[]), Some(Cell::Float(x)) if x.is_nan()));
    }

    proptest! {
        #[test]
        fn no_answer_of_a_server_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for kind in [Type::BOOL, Type::INT8, Type::NUMERIC, Type::TEXT, Type::JSONB, Type::UUID,
                Type::TIMESTAMPTZ, Type::DATE, Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::NUMERIC_ARRAY]
            {
                decode(&kind, &bytes);
            }
        }
    }
}
