//! `bordertap verify`, and the bundles that `scan --evidence` writes.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bordertap::capture::Inputs;
use bordertap::cli::{RunArgs, VerifyArgs, Vlans};
use bordertap::collect::Judging;
use bordertap::evidence::{
    self, BUNDLE_BYTES_MAX, Bundle, Checked, EvidenceError, FINDINGS_MAX, FileVerdict, Folder, Keeper, Options,
    SignKey, Standing, VerifyKey, Wish, Written,
};
use bordertap::policy::Policy;
use bordertap::report::{Report, jsonl, paint};
use bordertap::scan::Flows;

use super::{Failure, Log, has_color, load_signatures, places, status, to};

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Failure {
        match error {
            EvidenceError::Usage(reason) => Failure::Usage(reason),
            other => Failure::Useless(other.to_string()),
        }
    }
}

/// What is wanted of a bundle, when one is; said before anything is read.
pub(crate) fn wish(args: &RunArgs, inputs: &[String], judging: &Judging) -> Result<Option<Wish>, Failure> {
    let Some(dir) = &args.evidence.evidence else { return Ok(None) };
    if judging.policy.anonymiser().is_some() {
        let reason = "--evidence keeps packets as they were captured, with the addresses that --anonymise replaces";
        return Err(Failure::Usage(format!("{reason}: it is one or the other")));
    }
    for input in inputs {
        let once = input == "-" || fs::metadata(input).is_ok_and(|about| !about.is_file() && !about.is_dir());
        if once {
            let reason = "--evidence reads inputs twice, which this one does not allow; write it to a file first";
            return Err(Failure::Usage(format!("{input}: {reason}")));
        }
    }
    let options = Options {
        home: judging.policy.homes().iter().map(ToString::to_string).collect(),
        inside: judging.policy.inside().iter().map(ToString::to_string).collect(),
        policy: judging.policy.origin().map(|origin| origin.sha256.clone()),
        filter: args.filter.clone(),
        vlans_apart: args.vlans == Vlans::Apart,
    };
    Ok(Some(Wish {
        folder: Folder::prepare(dir)?,
        payload: args.evidence.evidence_payload.into(),
        key: args.evidence.evidence_key.as_deref().map(SignKey::read).transpose()?,
        options,
        packets_max: args.count.unwrap_or(u64::MAX),
        findings_max: FINDINGS_MAX,
        bytes_max: BUNDLE_BYTES_MAX,
    }))
}

/// Writes the bundle of a run whose inputs are read once more.
pub(crate) fn write(
    wish: &Wish,
    report: &Report,
    flows: &mut Flows,
    inputs: &[String],
    judging: &Judging,
    log: &Log,
) -> Result<Written, Failure> {
    let filter = wish.options.filter.as_deref();
    let mut source = Inputs::open(inputs, filter).map_err(|error| Failure::Usage(error.to_string()))?;
    let written = evidence::write(wish, report, flows, &mut source, judging)?;
    say(&written, log);
    Ok(written)
}

/// Writes the bundle of a sensor from the packets that it kept.
pub(crate) fn write_kept(
    wish: &Wish,
    keeper: &Keeper,
    interfaces: &[String],
    report: &Report,
    judging: &Judging,
    log: &Log,
) -> Result<(), Failure> {
    let (written, trouble) = keeper.write(wish, &interfaces.join(", "), judging)?;
    if let Some(trouble) = trouble {
        log.warn(&format!("evidence: packets could not be kept: {trouble}"));
    }
    let gone = report.findings.iter().filter(|finding| !written.files.contains_key(&finding.id)).count();
    if gone > 0 {
        log.warn(&format!("evidence: of {gone} findings no packets are kept any more (--evidence-keep makes room)"));
    }
    say(&written, log);
    Ok(())
}

fn say(written: &Written, log: &Log) {
    if written.left_out > 0 {
        log.warn(&format!("evidence: {} findings beyond a limit have no file", written.left_out));
    }
    for id in &written.unlike {
        log.warn(&format!(
            "evidence: {id}.pcapng alone does not show all of its finding; the manifest says what differs"
        ));
    }
}

pub(crate) fn verify(args: &VerifyArgs, log: &Log) -> Result<u8, Failure> {
    let key = args.key.as_deref().map(VerifyKey::read).transpose()?;
    let bundle = match Bundle::open(&args.folder) {
        // What is damaged is no bad usage.
        Err(EvidenceError::Usage(reason)) => return Err(Failure::Useless(reason)),
        opened => opened?,
    };
    let options = &bundle.manifest.options;
    let policy = Policy::new(None, Some(&options.home), Some(&options.inside));
    let policy = policy.map_err(|error| Failure::Useless(format!("{}: {error}", args.folder.display())))?;
    let places = places(&args.databases)?;
    let signatures = Arc::new(load_signatures(&args.signatures)?);
    let judging = Judging { signatures, places: Arc::new(places), policy: Arc::new(policy), baseline: None };
    let checked = bundle.check(&judging, key.as_ref());
    if let Some(path) = &args.json {
        to(path, |out| jsonl::document(&checked, out))?;
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        let color = has_color(args.color);
        to(Path::new("-"), |out| print(&checked, color, out))?;
    }
    if !checked.good {
        log.error(&format!("{}: not all of it holds", args.folder.display()));
    }
    Ok(if checked.good { 0 } else { status::USELESS })
}

/// The result for people.
fn print(checked: &Checked, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let paint = |good: bool, word: &str| paint::paint(color, if good { paint::GREEN } else { paint::RED }, word);
    for damage in &checked.damage {
        writeln!(out, "{} {}", paint(false, "damaged"), evidence::plain(damage))?;
    }
    let (good, signature) = match checked.signature {
        Standing::Holds => (true, "holds for this key"),
        Standing::Fails => (false, "does not hold for this key"),
        Standing::NotChecked => (true, "is there and was not checked: no --key was given"),
        Standing::Unsigned => (true, "none: whoever changed a file could have changed the digests too"),
    };
    writeln!(out, "signature: {}", paint(good, signature))?;
    for note in &checked.notes {
        writeln!(out, "note: {}", evidence::plain(note))?;
    }
    for FileVerdict { file, sentence, same, known, differences, .. } in &checked.files {
        writeln!(
            out,
            "{} {file}: {}",
            paint(*same, if *same { "same   " } else { "differs" }),
            evidence::plain(sentence)
        )?;
        for difference in differences {
            let word = |value: &Option<String>| value.as_deref().map_or_else(|| "nothing".to_owned(), evidence::plain);
            let (expected, found) = (word(&difference.expected), word(&difference.found));
            writeln!(out, "        {}: {expected} expected, {found} found", difference.what)?;
        }
        if *known {
            writeln!(out, "        the manifest says so: the file holds too little for all of the finding")?;
        }
    }
    let same = checked.files.iter().filter(|file| file.same).count();
    let all = checked.files.len();
    writeln!(out, "{same} of {all} findings come out the same; volumes are not compared")
}
