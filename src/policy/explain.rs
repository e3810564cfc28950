//! What a policy means, in plain sentences: `bordertap policy explain`.
//!
//! In: a policy, what signatures and databases know, and the day it is looked at. Out: text. Nothing is judged here that
//! [`Policy::judge`] does not judge the same way.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use jiff::civil::Date;

use super::{
    Alert, Crossing, Exemption, FUNCTIONS, GRAVE, INSIDE_DEFAULT, Location, Policy, Rule, Severity, UNEXPLAINED,
    default_severity, preset,
};
use crate::place::{GROUPS, Places, in_few_words};
use crate::signature::words::Function;
use crate::signature::{Entry, Signatures, VendorFile};

/// What the whole policy means.
pub fn explain(policy: &Policy, today: Date) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = Page { out: &mut out, policy, today }.whole();
    out
}

/// What it decides for an address or a channel; `None` when the word is neither.
pub fn explain_thing(
    policy: &Policy,
    what: &str,
    signatures: &Signatures,
    places: &Places,
    today: Date,
) -> Option<String> {
    let mut out = String::new();
    let mut page = Page { out: &mut out, policy, today };
    if let Ok(address) = what.parse::<IpAddr>() {
        let _ = page.address(address, places);
    } else if what == UNEXPLAINED {
        let _ = page.unexplained();
    } else {
        let (file, entry) = signatures.entry(what).filter(|(_, entry)| !entry.role.is_identity())?;
        let _ = page.channel(file, entry);
    }
    Some(out)
}

struct Page<'a> {
    out: &'a mut String,
    policy: &'a Policy,
    today: Date,
}

impl Page<'_> {
    fn whole(&mut self) -> fmt::Result {
        self.name()?;
        self.home()?;
        self.inside()?;
        self.exempt()?;
        self.severity()?;
        self.alert()
    }

    fn name(&mut self) -> fmt::Result {
        let Some(origin) = &self.policy.origin else {
            return writeln!(self.out, "No policy file: what is built in.");
        };
        let preset = preset(Path::new(&origin.name));
        let kind = if preset.is_some() { "preset" } else { "file" };
        writeln!(self.out, "Policy {kind} {}, SHA-256 {}", origin.name, origin.sha256)?;
        for line in preset.iter().flat_map(|preset| preset.about()) {
            writeln!(self.out, "{}", format!("  {line}").trim_end())?;
        }
        Ok(())
    }

    fn home(&mut self) -> fmt::Result {
        let homes = &self.policy.homes;
        writeln!(self.out, "\nHome")?;
        let words = in_few_words(homes);
        if words.is_empty() {
            return writeln!(self.out, "  There is no home: places are told, and nothing is called leaving.");
        }
        writeln!(self.out, "  Home is {}. What goes elsewhere leaves.", words.join(", "))?;
        for group in GROUPS.iter().filter(|group| words.contains(&group.name)) {
            let members: Vec<String> = group.members().map(|country| country.to_string()).collect();
            writeln!(self.out, "  {} since {}: {} ({})", group.name, group.since, members.join(" "), group.source)?;
        }
        if words == ["CN"] {
            writeln!(self.out, "  HK, MO and TW are not part of it, as the rules on data export treat them.")?;
        }
        Ok(())
    }

    fn inside(&mut self) -> fmt::Result {
        let list: Vec<String> = self.policy.inside_list.iter().map(ToString::to_string).collect();
        writeln!(self.out, "\nInside")?;
        let usual = if list == INSIDE_DEFAULT { ", as nothing else is said" } else { "" };
        writeln!(self.out, "  These addresses are ours{usual}: {}", list.join(", "))?;
        for site in &self.policy.site_list {
            let prefixes: Vec<String> = site.prefixes.iter().map(ToString::to_string).collect();
            writeln!(self.out, "  Site {}: {}", site.name.escape_debug(), prefixes.join(", "))?;
        }
        if !self.policy.site_list.is_empty() {
            writeln!(self.out, "  Of several sites the one with the longest prefix counts.")?;
        }
        Ok(())
    }

    fn exempt(&mut self) -> fmt::Result {
        writeln!(self.out, "\nExempt")?;
        let all: Vec<&Exemption> = self.policy.exemptions().collect();
        if all.is_empty() {
            return writeln!(self.out, "  Nothing is exempt.");
        }
        for exemption in all {
            writeln!(self.out, "  {}", exemption.channel.escape_debug())?;
            self.exemption(exemption)?;
        }
        Ok(())
    }

    fn exemption(&mut self, exemption: &Exemption) -> fmt::Result {
        let Exemption { until, owner, reason, .. } = exemption;
        let days = (*until - self.today).get_days();
        let state = match days {
            days if days < 0 => format!("ended on {until}: exempts nothing since"),
            days => format!("until {until} ({days} days from {})", self.today),
        };
        writeln!(self.out, "    {state}; {}: {}", owner.escape_debug(), reason.escape_debug())?;
        match exemption.limits() {
            limits if limits.is_empty() => Ok(()),
            limits => writeln!(self.out, "    {}", limits.escape_debug()),
        }
    }

    fn severity(&mut self) -> fmt::Result {
        writeln!(self.out, "\nSeverity")?;
        let severities = &self.policy.severity;
        for (function, severity) in &severities.functions {
            let usual = usual(function);
            writeln!(self.out, "  {function}: {} (built in: {usual})", severity.name())?;
        }
        for (data, severity) in &severities.data {
            writeln!(self.out, "  what carries {data}: at least {}", severity.name())?;
        }
        let rest = FUNCTIONS.iter().filter(|function| !severities.functions.contains_key(**function));
        let rest: Vec<String> = rest.map(|function| format!("{function} {}", usual(function))).collect();
        writeln!(self.out, "  as built in: {}", rest.join("; "))?;
        if !severities.functions.contains_key(Function::CloudManagement.name()) {
            let word = Function::CloudManagement.name();
            writeln!(self.out, "  {word} is high when it carries {}", GRAVE.join(", "))?;
        }
        writeln!(self.out, "  What stays at home is info.")
    }

    fn alert(&mut self) -> fmt::Result {
        writeln!(self.out, "\nAlert (--fail-on-finding)")?;
        writeln!(self.out, "  {}", alert_text(self.policy.alert.as_ref()))
    }

    fn address(&mut self, address: IpAddr, places: &Places) -> fmt::Result {
        let policy = self.policy;
        match policy.side_of(address) {
            Location::Inside => {
                writeln!(self.out, "{address}: inside, one of our own addresses")?;
                match policy.site_of(address) {
                    Some(site) => writeln!(self.out, "  site {}", site.escape_debug())?,
                    None => writeln!(self.out, "  of no site")?,
                }
                let about = |exemption: &&Exemption| {
                    exemption.assets.is_empty() && exemption.sites.is_empty()
                        || exemption.assets.iter().any(|prefix| prefix.contains(address))
                        || policy.site_of(address).is_some_and(|site| exemption.sites.iter().any(|one| one == site))
                };
                for exemption in policy.exemptions().filter(about) {
                    writeln!(self.out, "  exempt: {}", exemption.channel.escape_debug())?;
                    self.exemption(exemption)?;
                }
                Ok(())
            }
            Location::Special => {
                writeln!(self.out, "{address}: of no host (multicast, broadcast, loopback): never leaves")
            }
            Location::Outside => {
                let place = places.decide(None, Some(address), &policy.homes);
                let country = place.country_text(&policy.homes).unwrap_or_else(|| "no country known".to_owned());
                let standing = match place.standing {
                    crate::place::Standing::Home => "home",
                    crate::place::Standing::Foreign => "outside of home: what goes there leaves",
                    crate::place::Standing::Special => "a special address: never leaves",
                    crate::place::Standing::Unknown => "cannot be determined",
                };
                writeln!(self.out, "{address}: outside, {country}, {standing}")?;
                place.notes.iter().try_for_each(|note| writeln!(self.out, "  {note}"))
            }
        }
    }

    fn unexplained(&mut self) -> fmt::Result {
        writeln!(self.out, "{UNEXPLAINED}: traffic of a known appliance that no signature explains")?;
        self.grave(UNEXPLAINED, &[])?;
        self.exemptions_of(UNEXPLAINED)?;
        self.counts(UNEXPLAINED, &[])
    }

    fn channel(&mut self, file: &VendorFile, entry: &Entry) -> fmt::Result {
        let Some(channel) = entry.role.channel() else { return Ok(()) };
        let function = channel.function.name();
        let data: Vec<&str> = channel.data.iter().map(|data| data.name()).collect();
        writeln!(self.out, "{}: {} {}, {function}", entry.id, file.vendor, entry.product)?;
        if !data.is_empty() {
            writeln!(self.out, "  carries {}", data.join(", "))?;
        }
        let mut regions: Vec<&str> = entry.whens.iter().filter_map(|when| Some(when.region.as_ref()?.name())).collect();
        regions.sort_unstable();
        regions.dedup();
        if !regions.is_empty() {
            writeln!(self.out, "  served from {}, the vendor says", regions.join(", "))?;
        }
        self.grave(function, &data)?;
        self.exemptions_of(&entry.id)?;
        self.counts(function, &data)
    }

    fn grave(&mut self, function: &str, data: &[&str]) -> fmt::Result {
        let (severity, rule) = self.policy.severity.of(function, data);
        let why = match rule {
            Rule::BuiltIn => "as built in".to_owned(),
            Rule::Function(word) => format!("[severity] {word}"),
            Rule::Data(word) => format!("[severity.data] {word}"),
        };
        let usual = default_severity(function, data);
        let instead = if usual == severity { String::new() } else { format!("; built in: {}", usual.name()) };
        writeln!(self.out, "  severity {} ({why}{instead}); info when it stays at home", severity.name())
    }

    fn exemptions_of(&mut self, channel: &str) -> fmt::Result {
        let mut some = false;
        for exemption in self.policy.exemptions().filter(|exemption| exemption.channel == channel) {
            some = true;
            writeln!(self.out, "  exempt")?;
            self.exemption(exemption)?;
        }
        if some { Ok(()) } else { writeln!(self.out, "  not exempt") }
    }

    /// Whether it may count, by what is known before it is seen.
    fn counts(&mut self, function: &str, data: &[&str]) -> fmt::Result {
        let Some(alert) = &self.policy.alert else {
            return writeln!(self.out, "  counts for --fail-on-finding when it leaves");
        };
        let (severity, _) = self.policy.severity.of(function, data);
        let is_one = |words: &[String], of: &[&str]| words.is_empty() || words.iter().any(|w| of.contains(&w.as_str()));
        let never = [
            (severity < alert.severity, "its severity is below"),
            (!is_one(&alert.functions, &[function]), "its function is none of those"),
            (!is_one(&alert.data, data), "it carries none of the data"),
        ];
        match never.iter().find(|(is_so, _)| *is_so) {
            Some((_, why)) => writeln!(self.out, "  never counts for --fail-on-finding: {why}"),
            None => writeln!(self.out, "  counts for --fail-on-finding: {}", conditions(alert)),
        }
    }
}

/// The severity of a function that carries nothing in particular.
fn usual(function: &str) -> &'static str {
    default_severity(function, &[]).name()
}

fn alert_text(alert: Option<&Alert>) -> String {
    match alert {
        None => "Every finding that leaves counts: crossing observed or probable, exempt or not.".to_owned(),
        Some(alert) => format!("A finding counts when it is not exempt, and: {}.", conditions(alert)),
    }
}

fn conditions(alert: &Alert) -> String {
    let crossings: Vec<&str> = alert.crossings.iter().map(|crossing| Crossing::name(*crossing)).collect();
    let mut parts = vec![format!("crossing {}", crossings.join(" or "))];
    if alert.severity > Severity::Info {
        parts.push(format!("severity {} or above", alert.severity.name()));
    }
    if !alert.functions.is_empty() {
        parts.push(format!("function {}", alert.functions.join(" or ")));
    }
    if !alert.data.is_empty() {
        parts.push(format!("it carries {}", alert.data.join(" or ")));
    }
    if !alert.countries.text().is_empty() {
        parts.push(format!("to {}", alert.countries.text()));
    }
    if alert.month_bytes_out > 0 {
        parts.push(format!("{} bytes out or more in a calendar month", alert.month_bytes_out));
    }
    parts.join("; ")
}
