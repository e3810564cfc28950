//! The text format of Prometheus, version 0.0.4: one family after the other.
//!
//! In: names, help, samples. Out: the page. A line is `name{label="value"} number`; in values a backslash, a quote and a
//! line feed are escaped, in help a backslash and a line feed (prometheus.io/docs/instrumenting/exposition_formats).

use std::fmt::{Display, Write};

/// What the header of an answer says of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a number does as time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the sensor runs.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Begins a family: all samples until the next one are of it.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
        Family { page: self, name }
    }

    /// A family of one sample without labels.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The page.
    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = writeln!(self.text, "{line}");
    }
}

/// The family that is being written.
pub struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Family<'_> {
    /// A sample. No two samples of a family may have the same labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.page.line(format_args!("{}{labels} {value}", self.name));
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page of the documentation has these lines, among others.
    #[test]
    fn lines_of_the_documentation() {
        let mut page = Page::default();
        let mut family = page.family("http_requests_total", Kind::Counter, "The total number of HTTP requests.");
        family.sample(&[("method", "post"), ("code", "200")], 1027);
        let mut family = page.family("msdos_file_access_time_seconds", Kind::Gauge, "a\\b\nc");
        family.sample(&[("path", "C:\\DIR\\FILE.TXT"), ("error", "Cannot find file:\n\"FILE.TXT\"")], 1.458255915e9);
        assert_eq!(
            page.finish(),
            "# HELP http_requests_total The total number of HTTP requests.\n\
             # TYPE http_requests_total counter\n\
             http_requests_total{method=\"post\",code=\"200\"} 1027\n\
             # HELP msdos_file_access_time_seconds a\\\\b\\nc\n\
             # TYPE msdos_file_access_time_seconds gauge\n\
             msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} \
             1458255915\n"
        );
    }
}
