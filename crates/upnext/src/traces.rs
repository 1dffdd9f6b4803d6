//! Where spans of requests go: what the configuration says, else the variables that all of OpenTelemetry's exporters read.

use upnext_serve::TelemetryConfig;

/// How spans are exported and with which headers; `None` where nobody asks for it. `said` reads a variable of the environment.
pub(crate) fn wanted(
    mut config: TelemetryConfig,
    said: impl Fn(&str) -> Option<String>,
) -> Option<(TelemetryConfig, Vec<(String, String)>)> {
    if config.otlp_url.is_empty() {
        let is_off = said("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
            || said("OTEL_TRACES_EXPORTER").is_some_and(|value| value.trim() != "otlp");
        if is_off {
            return None;
        }
        config.otlp_url =
            said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
        let protocol =
            said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| said("OTEL_EXPORTER_OTLP_PROTOCOL"));
        // It is said to every process of a machine, so it is no reason not to serve.
        if let Some(protocol) = protocol.filter(|protocol| protocol.trim() != "grpc") {
            tracing::warn!(protocol, "OTEL_EXPORTER_OTLP_PROTOCOL: spans go out by grpc alone, so none do");
            return None;
        }
        if let Err(error) = config.check() {
            tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}; no spans go out");
            return None;
        }
    }
    if let Some(name) = said("OTEL_SERVICE_NAME") {
        config.service_name = name;
    }
    let headers = said("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| said("OTEL_EXPORTER_OTLP_HEADERS"));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), decoded(value.trim())))
    };
    let headers = headers.unwrap_or_default().split(',').filter_map(pair).collect();
    Some((config, headers))
}

/// `%20` and its like as the bytes they stand for; what stands for nothing stays.
fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Wanted = (String, String, Vec<(String, String)>);

    fn of(url: &str, said: &[(&str, &str)]) -> Option<Wanted> {
        let config = TelemetryConfig { otlp_url: url.into(), ..TelemetryConfig::default() };
        let said = |name: &str| said.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string());
        wanted(config, said).map(|(config, headers)| (config.otlp_url, config.service_name, headers))
    }

    #[test]
    fn the_configuration_comes_first_then_the_variables_of_the_trade() {
        assert_eq!(of("", &[]), None);
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://one:4317");
        let plain = ("http://one:4317".to_string(), "upnext".to_string(), Vec::new());
        assert_eq!(of("", &[endpoint]), Some(plain));
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20bc, x = y=z");
        let named = ("OTEL_SERVICE_NAME", "films");
        let (url, name, headers) = of("http://two:4317", &[endpoint, headers, named]).unwrap();
        assert_eq!((url.as_str(), name.as_str()), ("http://two:4317", "films"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers, [pair("api-key", "a bc"), pair("x", "y=z")]);
        for off in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector"),
        ] {
            assert_eq!(of("", &[endpoint, off]), None, "{off:?}");
        }
    }
}
