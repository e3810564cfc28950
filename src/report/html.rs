//! The report as one HTML page that needs nothing else: for the person who decides.
//!
//! In: a [`Report`] and the language it opens in. Out: the page, in both languages. Sections are templates (`html/*.html`), written
//! once for each language; a class hides the other one. Plots are drawn here as SVG. The findings stand in the page as JSON too,
//! from which its script makes a table that can be sorted and searched, and a page for each asset (`#asset-…`). A content security
//! policy with the digests of style and script lets nothing else run and nothing be loaded or sent.

mod data;
mod flow;
mod lang;
mod recipients;
mod sections;
mod timeline;
mod why;
mod world;

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, State, context, escape_formatter};
use sha2::{Digest, Sha256};

use super::Report;
use super::markup::visible;
use crate::policy::UNEXPLAINED;
use crate::record::Finding;
pub use lang::Lang;

/// The page around the sections.
const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/style.css");
const DARK: &str = include_str!("html/dark.css");
const SCRIPT: &str = include_str!("html/script.js");

/// Sections in the order of the page: id, template, whether the navigation names it.
const SECTIONS: [(&str, &str, bool); 10] = [
    ("answer", include_str!("html/answer.html"), false),
    ("flow", include_str!("html/flow.html"), true),
    ("map", include_str!("html/map.html"), true),
    ("timeline", include_str!("html/timeline.html"), true),
    ("findings", include_str!("html/findings.html"), true),
    ("assets", include_str!("html/assets.html"), true),
    ("recipients", include_str!("html/recipients.html"), true),
    ("inbound", include_str!("html/inbound.html"), true),
    ("unseen", include_str!("html/unseen.html"), true),
    ("method", include_str!("html/method.html"), true),
];

/// Writes the page, which opens in `first`.
///
/// # Errors
/// When it cannot be written.
pub fn write(report: &Report, first: Lang, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(page(report, first).map_err(io::Error::other)?.as_bytes())?;
    out.write_all(b"\n")
}

fn page(report: &Report, first: Lang) -> Result<String, Error> {
    let mut env = Environment::new();
    env.set_formatter(|out, state, value| match value.as_str() {
        // What is drawn here was made visible and escaped when it was drawn.
        Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(visible(text))),
        _ => escape_formatter(out, state, value),
    });
    env.add_function("t", text);
    env.add_template("page.html", PAGE)?;
    for (id, template, _) in SECTIONS {
        env.add_template_owned(format!("{id}.html"), template)?;
    }
    let mut parts = Vec::with_capacity(SECTIONS.len());
    for (id, _, nav) in SECTIONS {
        let mut html = Vec::with_capacity(Lang::ALL.len());
        for lang in Lang::ALL {
            let section = sections::section(id, report, lang);
            let about = context! { code => lang.code(), ..section };
            html.push(Value::from_safe_string(env.get_template(&format!("{id}.html"))?.render(about)?));
        }
        let [en, zh] = [html.first().cloned(), html.get(1).cloned()];
        parts.push(context! { id, nav, en, zh });
    }
    let style = STYLE.replace("/* dark.css */", DARK);
    let langs: Vec<Value> = Lang::ALL.map(|lang| context! { code => lang.code(), tag => lang.tag() }).to_vec();
    env.get_template("page.html")?.render(context! {
        code => first.code(),
        tag => first.tag(),
        langs,
        title => first.text("ui.title"),
        program => report.header.program.as_str(),
        policy => policy(&style),
        style => Value::from_safe_string(style),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        data => Value::from_safe_string(data::data(report, first)),
        sections => parts,
    })
}

/// What the page may do: run its own script, use its own style, nothing else.
fn policy(style: &str) -> String {
    let digest = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(SCRIPT),
        digest(style)
    )
}

/// `t(key)`, `t(key, language)`, `t(key, slot=value)` in templates.
fn text(state: &State<'_, '_>, key: &str, code: Option<String>, slots: Kwargs) -> Result<String, Error> {
    let code = code.or_else(|| state.lookup("code").map(|code| code.to_string()));
    let lang = Lang::ALL.into_iter().find(|lang| Some(lang.code()) == code.as_deref()).unwrap_or_default();
    let mut filled = Vec::new();
    for name in slots.args() {
        filled.push((name, slots.get::<Value>(name)?.to_string()));
    }
    let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(lang.fill(key, &filled))
}

/// What a channel is called.
fn channel_name(finding: &Finding, lang: Lang) -> String {
    if finding.channel.id == UNEXPLAINED || finding.channel.product.is_empty() {
        return lang.text(&format!("function.{UNEXPLAINED}")).to_owned();
    }
    finding.channel.product.clone()
}

/// At most `chars` letters.
fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// A bar for a cell of a table: the share of the most.
fn bar(part: u64, most: u64) -> String {
    let width = if most == 0 { 0.0 } else { part as f64 / most as f64 * 100.0 };
    format!(
        r#"<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="4" class="ground"/><rect width="{width:.2}" height="4"/></svg>"#
    )
}

#[cfg(test)]
mod tests;
