//! One connection to an engine: a statement goes out, record batches come back.
//!
//! Every statement goes as a query, also those that write, and its answer is read to the end: engines begin to work
//! at different moments, and fail as late as in the last batch.

use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError as Transport;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightDescriptor, HandshakeRequest};
use arrow_schema::SchemaRef;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{TryStreamExt, stream};
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::FlightError;

/// Longest wait for a connection.
const CONNECT_SECONDS_MAX: u64 = 10;
/// How often a connection is asked for a sign of life.
const ALIVE_SECONDS: u64 = 30;
/// How long an engine may be too busy to give one.
const BUSY_SECONDS_MAX: u64 = 600;
/// Largest message of an answer.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// An engine that speaks Arrow Flight SQL.
pub struct Engine {
    /// The address as messages show it: without credentials.
    url: String,
    client: FlightServiceClient<Channel>,
    /// Sent with every request.
    authorization: Option<MetadataValue<Ascii>>,
    runtime: Runtime,
}

impl Engine {
    /// Connects to `grpc://[user:password@]host:port` or `grpc+tls://…`, the user's password or `token` sent as the
    /// engine asks for it.
    ///
    /// # Errors
    /// An address that is none, an engine that does not answer, or one that refuses the credentials.
    pub fn connect(address: &str, token: Option<&str>) -> Result<Self, FlightError> {
        let Address { url, endpoint, is_tls, credentials } = Address::parse(address)?;
        let wrong = |why: String| FlightError::Address { url: url.clone(), why };
        let unreachable = |why: String| FlightError::Unreachable { url: url.clone(), why };
        let mut endpoint = Endpoint::from_shared(endpoint)
            .map_err(|error| wrong(error.to_string()))?
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .http2_keep_alive_interval(Duration::from_secs(ALIVE_SECONDS))
            .keep_alive_timeout(Duration::from_secs(BUSY_SECONDS_MAX));
        if is_tls {
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .map_err(|error| wrong(chain(&error)))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        let channel = runtime.block_on(endpoint.connect()).map_err(|error| unreachable(chain(&error)))?;
        let mut client = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let header = |text: String| {
            text.parse::<MetadataValue<Ascii>>().map_err(|_| wrong("credentials are not ASCII".into()))
        };
        let mut authorization = None;
        if let Some((user, password)) = credentials {
            let basic = header(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))?;
            let within = Duration::from_secs(CONNECT_SECONDS_MAX);
            let session = runtime
                .block_on(async { tokio::time::timeout(within, handshake(&mut client, &basic)).await })
                .map_err(|_| unreachable("no answer to the credentials".into()))?
                .map_err(|status| failed(&url, "handshake", &status.into()))?;
            authorization = Some(session.unwrap_or(basic));
        }
        if let Some(token) = token {
            authorization = Some(header(format!("Bearer {token}"))?);
        }
        Ok(Self { url, client, authorization, runtime })
    }

    /// The address as messages show it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a statement and gives each batch of its answer to `take`; `step` is what errors call it.
    ///
    /// # Errors
    /// When the statement fails, the engine goes away, or the credentials do not suffice.
    pub fn query(
        &mut self,
        step: &str,
        sql: String,
        mut take: impl FnMut(RecordBatch) -> Result<(), FlightError>,
    ) -> Result<Option<SchemaRef>, FlightError> {
        let Self { url, client, authorization, runtime } = self;
        let url: &str = url;
        let failed = |error: Transport| failed(url, step, &error);
        let refused = |status: Status| failed(status.into());
        runtime.block_on(async {
            let asked = request(FlightDescriptor::new_cmd(statement(&sql)), authorization.as_ref());
            let info = client.get_flight_info(asked).await.map_err(refused)?.into_inner();
            let mut schema = None;
            for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
                let asked = request(ticket, authorization.as_ref());
                let answer = client.do_get(asked).await.map_err(refused)?.into_inner();
                let mut batches =
                    FlightRecordBatchStream::new_from_flight_data(answer.map_err(Transport::from));
                while let Some(batch) = batches.try_next().await.map_err(failed)? {
                    take(batch)?;
                }
                schema = batches.schema().cloned().or(schema);
            }
            Ok(schema)
        })
    }

    /// Runs a statement for what it does.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn execute(&mut self, step: &str, sql: String) -> Result<(), FlightError> {
        self.query(step, sql, |_| Ok(())).map(|_| ())
    }
}

/// Shows user and password; many engines answer with a session of their own, which is sent from then on.
async fn handshake(
    client: &mut FlightServiceClient<Channel>,
    basic: &MetadataValue<Ascii>,
) -> Result<Option<MetadataValue<Ascii>>, Status> {
    let answer = client.handshake(request(stream::iter([HandshakeRequest::default()]), Some(basic))).await?;
    let session = answer.metadata().get("authorization").cloned();
    answer.into_inner().try_collect::<Vec<_>>().await?;
    Ok(session)
}

fn request<T>(message: T, authorization: Option<&MetadataValue<Ascii>>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.clone());
    }
    request
}

/// A statement as Flight SQL sends it: `google.protobuf.Any` around a `CommandStatementQuery`, both of which have
/// texts as fields 1 and 2.
fn statement(sql: &str) -> Vec<u8> {
    fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
        // Wire type 2: a length in groups of seven bits, the lowest first, then the bytes.
        out.push((number << 3) | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length as u8) | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
    }
    let (mut command, mut any) = (Vec::new(), Vec::new());
    field(1, sql.as_bytes(), &mut command);
    field(1, b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery", &mut any);
    field(2, &command, &mut any);
    any
}

struct Address {
    url: String,
    endpoint: String,
    is_tls: bool,
    credentials: Option<(String, String)>,
}

impl Address {
    fn parse(address: &str) -> Result<Self, FlightError> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, rest),
        };
        let host = host.trim_end_matches('/');
        let url = format!("{scheme}://{host}");
        let wrong = |why: &str| FlightError::Address { url: url.clone(), why: why.into() };
        let (http, is_tls) = match scheme {
            "grpc" | "grpc+tcp" => ("http", false),
            "grpc+tls" => ("https", true),
            _ => return Err(wrong("is not an address of an engine")),
        };
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return Err(wrong("names no port"));
        }
        let credentials = credentials
            .map(|text| text.split_once(':').ok_or_else(|| wrong("names a user without a password")))
            .transpose()?
            .map(|(user, password)| (user.to_owned(), password.to_owned()));
        Ok(Self { endpoint: format!("{http}://{host}"), is_tls, credentials, url })
    }
}

/// The innermost of what an engine says, without the layers that carried it.
fn said(error: &Transport) -> String {
    match error {
        Transport::Tonic(status) => format!("{}: {}", status.code(), status.message()),
        error => error.to_string(),
    }
}

/// A transport's error names its layers; only the last says what is wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

fn failed(url: &str, step: &str, error: &Transport) -> FlightError {
    let (url, step, why) = (url.to_owned(), step.to_owned(), said(error));
    let Transport::Tonic(status) = error else { return FlightError::Failed { url, step, why } };
    // Without a status of its own a connection that breaks is `Unknown`, with the broken layer as its source.
    let is_broken = std::error::Error::source(&**status).is_some();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => FlightError::Credentials { url, why },
        Code::Unavailable => FlightError::Stopped { url, step, why },
        Code::Unknown | Code::Cancelled | Code::Internal if is_broken => {
            FlightError::Stopped { url, step, why }
        }
        _ => FlightError::Failed { url, step, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> Result<Address, String> {
        Address::parse(address).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = parse("grpc+tls://ann:s:e@cret@lake.example:443/").unwrap();
        assert_eq!(address.url, "grpc+tls://lake.example:443");
        assert_eq!(address.endpoint, "https://lake.example:443");
        assert_eq!(address.credentials.unwrap(), ("ann".into(), "s:e@cret".into()));
        let error = parse("grpc://ann@lake.example:443").err().unwrap();
        assert!(error.contains("without a password"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_said() {
        assert!(parse("localhost:32010").err().unwrap().contains("expected grpc://host:port"));
        assert!(parse("grpc://localhost").err().unwrap().contains("names no port"));
        assert!(parse("http://localhost:1").err().unwrap().contains("is not an address"));
    }

    #[test]
    fn a_statement_is_wrapped_as_protobuf_says() {
        let bytes = statement(&"x".repeat(300));
        assert_eq!(&bytes[..2], [0x0a, 67]);
        // 300 is 0b10_0101100; the command is three bytes longer.
        assert_eq!(&bytes[69..72], [0x12, 0xaf, 0x02]);
        assert_eq!(&bytes[72..75], [0x0a, 0xac, 0x02]);
        assert_eq!(bytes.len(), 75 + 300);
    }

    #[test]
    fn nobody_there_is_said_at_once() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Engine::connect(&format!("grpc://{free}"), None).err().unwrap();
        assert!(matches!(error, FlightError::Unreachable { .. }), "{error}");
    }
}
