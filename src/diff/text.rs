//! A difference as text: what may have caused it first, then what appeared, stopped and changed.
//!
//! In: a [`Diff`]. Out: lines; colour only where asked. What came from the wire is written without anything that a terminal
//! would obey.

use std::io::{self, Write};

use super::{AssetBrief, Brief, Changed, Diff, Difference, Kind, Moved, MovedAsset, Side, Volume};
use crate::fact::value::harmless;
use crate::report::paint::{self, BOLD, DIM, GREEN, RED, YELLOW};
use crate::report::text::{bytes_text, count};

/// Writes the difference.
pub fn write(diff: &Diff, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { color, out };
    page.head(diff)?;
    page.moved("Appeared", RED, diff.appeared.iter(), &diff.old)?;
    page.moved("Stopped", GREEN, diff.stopped.iter().filter(|one| !one.too_short), &diff.new)?;
    page.moved("Not seen yet", YELLOW, diff.stopped.iter().filter(|one| one.too_short), &diff.new)?;
    page.changed(diff)?;
    page.assets(diff)
}

struct Page<'a> {
    color: bool,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn paint(&self, color: &str, text: &str) -> String {
        paint::paint(self.color, color, text)
    }

    fn title(&mut self, color: &str, text: &str) -> io::Result<()> {
        let text = self.paint(&format!("{BOLD}{color}"), text);
        writeln!(self.out, "\n{text}")
    }

    fn dim(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint(DIM, &format!("        {text}"));
        writeln!(self.out, "  {text}")
    }

    fn head(&mut self, diff: &Diff) -> io::Result<()> {
        writeln!(self.out, "{}  what is otherwise", self.paint(BOLD, &diff.program))?;
        for (which, side) in [("old", &diff.old), ("new", &diff.new)] {
            let when = match (&side.first_seen, &side.last_seen) {
                (Some(first), Some(last)) => format!(", {} to {} UTC", day(first), day(last)),
                _ => String::new(),
            };
            let what = format!("{}, {}", count(side.findings, "finding"), count(side.assets, "asset"));
            writeln!(self.out, "{which}  {}: {what}, {}{when}", harmless(&side.file), span(side.seconds))?;
        }
        if !diff.made_differently.is_empty() {
            self.title(YELLOW, "The reports were made differently: what is otherwise below may come from there")?;
            for Difference { what, old, new } in &diff.made_differently {
                writeln!(self.out, "  {what}: {} → {}", harmless(old), harmless(new))?;
            }
        }
        let (away, yet) = (diff.stopped.iter().filter(|one| !one.too_short).count(), diff.stopped.len());
        let mut parts = vec![
            format!("{} appeared", count(diff.appeared.len(), "finding")),
            format!("{away} stopped"),
            format!("{} not seen yet", yet - away),
            format!("{} changed", diff.changed.len()),
        ];
        let assets = &diff.assets;
        parts.push(format!("{} appeared", count(assets.appeared.len(), "asset")));
        parts.push(format!("{} vanished", assets.vanished.len()));
        parts.push(format!("{} changed", assets.changed.len()));
        let sentence = match diff.is_empty() {
            true => "Nothing is otherwise.".to_owned(),
            false => format!("{}. {} new out of the country.", parts.join(", "), diff.new_leaving),
        };
        writeln!(self.out, "\n{}", self.paint(BOLD, &sentence))
    }

    fn moved<'m>(
        &mut self,
        title: &str,
        color: &str,
        all: impl Iterator<Item = &'m Moved>,
        other: &Side,
    ) -> io::Result<()> {
        let all: Vec<&Moved> = all.collect();
        if all.is_empty() {
            return Ok(());
        }
        self.title(color, &format!("{title} ({})", all.len()))?;
        for one in all {
            self.finding(&one.finding)?;
            self.dim(match one.kind {
                Kind::Channel => "the other report does not have this channel of this asset",
                Kind::Country => "the other report has the channel, to other countries",
                Kind::Destination => "the other report has the channel to this country, with other names",
            })?;
            if one.too_short {
                let (silence, other) = (span(one.silence_seconds), span(other.seconds));
                self.dim(&format!(
                    "it was silent for {silence}, and the other report covers {other}: it may be there too"
                ))?;
            }
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Brief) -> io::Result<()> {
        let site = finding.site.as_ref().map(|site| format!(", {}", harmless(site))).unwrap_or_default();
        let name = if finding.product.is_empty() { &finding.vendor } else { &finding.product };
        let far = finding.domain.as_ref().or(finding.address.as_ref()).map(|far| harmless(far)).unwrap_or_default();
        let amount = match finding.attempted_only {
            true => "only tried".to_owned(),
            false => format!("{} out, {} in", bytes_text(finding.bytes_out), bytes_text(finding.bytes_in)),
        };
        writeln!(
            self.out,
            "  {:6}  {} {}{site}  {} [{}]  to {} {far}  {}, {amount}  {}",
            finding.severity,
            harmless(&finding.ip),
            harmless(name),
            harmless(&finding.channel),
            harmless(&finding.function),
            harmless(finding.country.as_deref().unwrap_or("??")),
            finding.crossing.name(),
            self.paint(DIM, &harmless(&finding.id)),
        )
    }

    fn changed(&mut self, diff: &Diff) -> io::Result<()> {
        if diff.changed.is_empty() {
            return Ok(());
        }
        self.title(YELLOW, &format!("Changed ({})", diff.changed.len()))?;
        for Changed { finding, changes, volumes } in &diff.changed {
            self.finding(finding)?;
            for Difference { what, old, new } in changes {
                self.dim(&format!("{what}: {} → {}", harmless(old), harmless(new)))?;
            }
            for Volume { direction, old, expected, new, times } in volumes {
                let times = times.map(|times| format!(", {times} times that")).unwrap_or_default();
                let spans = format!("{} and {}", span(diff.old.seconds), span(diff.new.seconds));
                self.dim(&format!(
                    "bytes {direction}: {} → {}{times}; {} were to be expected in the time of the newer report ({spans})",
                    bytes_text(*old),
                    bytes_text(*new),
                    bytes_text(*expected),
                ))?;
            }
        }
        Ok(())
    }

    fn assets(&mut self, diff: &Diff) -> io::Result<()> {
        let assets = &diff.assets;
        for (title, color, all) in
            [("Assets that appeared", RED, &assets.appeared), ("Assets that vanished", GREEN, &assets.vanished)]
        {
            if all.is_empty() {
                continue;
            }
            self.title(color, &format!("{title} ({})", all.len()))?;
            for MovedAsset { too_short, asset } in all {
                self.asset(asset)?;
                if *too_short {
                    self.dim("the other report is shorter than it took to see it: it may be there too")?;
                }
            }
        }
        if assets.changed.is_empty() {
            return Ok(());
        }
        self.title(YELLOW, &format!("Assets that changed ({})", assets.changed.len()))?;
        for changed in &assets.changed {
            self.asset(&changed.asset)?;
            for Difference { what, old, new } in &changed.changes {
                self.dim(&format!("{what}: {} → {}", harmless(old), harmless(new)))?;
            }
        }
        Ok(())
    }

    fn asset(&mut self, asset: &AssetBrief) -> io::Result<()> {
        let words = [&asset.model, &asset.version, &asset.mac, &asset.site].into_iter().flatten();
        let words: String = words.map(|word| format!(", {}", harmless(word))).collect();
        writeln!(self.out, "  {}  {} {}{words}", harmless(&asset.ip), harmless(&asset.vendor), harmless(&asset.product))
    }
}

/// `2026-11-02T08:00:00.123456789Z` as `2026-11-02 08:00:00`.
fn day(time: &str) -> String {
    harmless(time.get(..19).unwrap_or(time)).replace('T', " ")
}

/// Seconds as people say them: 45 s, 12 min, 5.5 h, 3.0 days.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{:.1} h", seconds as f64 / 3_600.0),
        _ => format!("{:.1} days", seconds as f64 / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys() {
        assert_eq!(harmless("a\x1b[31m\u{202e}\tb"), "a\\u{1b}[31m\\u{202e}\\u{9}b");
        assert_eq!(harmless("=cmd|'/c'!A1 <b> пример \"x\" a\\b"), "=cmd|'/c'!A1 <b> пример \"x\" a\\b");
    }

    #[test]
    fn spans_are_easy_to_read() {
        let spans = [0, 119, 120, 7_199, 7_200, 172_800].map(span);
        assert_eq!(spans, ["0 s", "119 s", "2 min", "119 min", "2.0 h", "2.0 days"]);
    }
}
