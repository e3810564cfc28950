//! Signed packs of signatures, through the program. The packs were signed with minisign 0.11; its secret key is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bordertap::signature::{Key, Pack};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const NO_PACK_YET: Option<&Path> = None;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/signatures/packs").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

/// Exit status, standard output and standard error of `where`, which loads signatures as `scan` does.
fn load(pack: &Path, key: &str, last: Option<&Path>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.args(["where", "rating.acme.example", "--signatures"]).arg(pack).args(["--signature-key", key]);
    if let Some(last) = last {
        command.arg("--last-pack").arg(last);
    }
    let done = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

fn maker() -> String {
    fixture("maker.pub").to_str().unwrap().to_owned()
}

/// A pack and its signature in a folder of their own, changed by the caller.
fn copy(name: &str, change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (mut pack, mut proof) = (bytes(name), bytes(&format!("{name}.minisig")));
    change(&mut pack, &mut proof);
    let path = folder.path().join(name);
    fs::write(&path, pack).unwrap();
    fs::write(folder.path().join(format!("{name}.minisig")), proof).unwrap();
    (folder, path)
}

#[test]
fn a_signed_pack_is_used_and_named_in_every_report() {
    let (status, found, errors) = load(&fixture("first.pack"), &maker(), NO_PACK_YET);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(found.contains("Acme Acme web rating: function reputation-lookup"), "{found}");
    let scan = |outputs: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
        command.arg("scan").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/four-vendors.pcapng"));
        command.arg("--signatures").arg(fixture("first.pack")).args(["--signature-key", &maker()]).args(outputs);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let report: serde_json::Value = serde_json::from_str(&scan(&["--json", "-"])).unwrap();
    let sha256 = bordertap::fact::value::hex(&Sha256::digest(bytes("first.pack")));
    let key_id = text("maker.pub").lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let expected = serde_json::json!({
        "name": "first.pack", "serial": 2_099_010_101_u64, "sha256": sha256, "key_id": key_id,
    });
    assert_eq!(report["header"]["signatures"]["pack"], expected);
    let printed = scan(&[]);
    let line = format!("signature pack first.pack, serial 2099010101, signed by the key {key_id}, SHA-256 {sha256}");
    assert!(printed.contains(&line), "{printed}");
}

#[test]
fn a_key_may_be_given_as_text() {
    let key = text("maker.pub").lines().nth(1).unwrap().to_owned();
    assert_eq!(load(&fixture("first.pack"), &key, NO_PACK_YET).0, 0);
}

#[test]
fn any_changed_byte_is_refused() {
    let key = Key::new(&maker()).unwrap();
    let (pack, proof) = (bytes("first.pack"), text("first.pack.minisig"));
    assert!(Pack::verify("first.pack", &pack, &proof, &key).is_ok());
    for at in 0..pack.len() {
        let mut changed = pack.clone();
        changed[at] ^= 1;
        let refused = Pack::verify("first.pack", &changed, &proof, &key).unwrap_err();
        assert!(refused.contains("the signature does not hold"), "byte {at}: {refused}");
    }
    for cut in [0, 1, pack.len() / 2, pack.len() - 1] {
        assert!(Pack::verify("first.pack", &pack[..cut], &proof, &key).is_err(), "{cut} bytes");
    }
    let longer = [pack.as_slice(), b"\n"].concat();
    assert!(Pack::verify("first.pack", &longer, &proof, &key).is_err());
}

/// Any change of the signature file that matters: its first line is a comment that nobody signed.
#[test]
fn any_changed_signature_is_refused() {
    let key = Key::new(&maker()).unwrap();
    let (pack, proof) = (bytes("first.pack"), text("first.pack.minisig"));
    let comment = proof.find('\n').unwrap() + 1;
    for (at, byte) in proof.bytes().enumerate().skip(comment).filter(|(_, byte)| byte.is_ascii_alphanumeric()) {
        let mut changed = proof.clone().into_bytes();
        changed[at] = if byte == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        if changed != proof {
            assert!(Pack::verify("first.pack", &pack, &changed, &key).is_err(), "byte {at}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let run = |pack: &Path, key: &str| {
        let (status, found, errors) = load(pack, key, NO_PACK_YET);
        assert_eq!(found, "", "nothing is judged with a pack that is refused");
        (status, errors)
    };
    let (_folder, changed) = copy("first.pack", |pack, _| pack[100] ^= 1);
    let (status, errors) = run(&changed, &maker());
    assert!(status == 1 && errors.contains("first.pack: refused: the signature does not hold for the key"), "{errors}");
    let (status, errors) = run(&fixture("first.pack"), fixture("other.pub").to_str().unwrap());
    assert!(status == 1 && errors.contains("different key"), "{errors}");
    let (_folder, exchanged) = copy("first.pack", |_, proof| *proof = bytes("second.pack.minisig"));
    assert_eq!(run(&exchanged, &maker()).0, 1);
    let (folder, unsigned) = copy("first.pack", |_, _| ());
    fs::remove_file(folder.path().join("first.pack.minisig")).unwrap();
    let (status, errors) = run(&unsigned, &maker());
    assert!(status == 1 && errors.contains("first.pack.minisig: the signature of the pack: "), "{errors}");
    let (status, errors) = run(&fixture("bad-name.pack"), &maker());
    assert!(status == 1 && errors.contains("at byte 41: a file in a pack has a name without folders"), "{errors}");
    let (status, errors) = run(&fixture("first.pack"), "no such key");
    assert!(status == 2 && errors.contains("neither a minisign public key nor a file with one"), "{errors}");
    // A folder is not signed, and a pack needs a key.
    let (status, errors) = run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures"), &maker());
    assert!(status == 2 && errors.contains("a folder is not signed"), "{errors}");
    let mut without_key = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    let done = without_key.args(["where", "a.example", "--signatures"]).arg(fixture("first.pack")).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("needs --signature-key"));
}

#[test]
fn an_older_pack_never_follows_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let last = folder.path().join("last");
    let next = |name: &str| load(&fixture(name), &maker(), Some(&last));
    assert_eq!(next("first.pack").0, 0);
    let (status, _, errors) = next("same-serial.pack");
    assert!(status == 1 && errors.contains("has the same serial 2099010101 and other bytes"), "{errors}");
    assert_eq!(next("first.pack").0, 0, "the same pack again");
    assert_eq!(next("second.pack").0, 0);
    let (status, _, errors) = next("first.pack");
    assert!(status == 1 && errors.contains("its serial 2099010101 is older than 2099010102"), "{errors}");
    let remembered = fs::read_to_string(&last).unwrap();
    assert!(remembered.starts_with("2099010102 "), "a refused pack is not remembered: {remembered}");
    // Without a memory the signatures that are built in are what it must not be older than.
    let (status, _, errors) = load(&fixture("old.pack"), &maker(), NO_PACK_YET);
    assert!(
        status == 1 && errors.contains("is older than") && errors.contains("of the signatures built in"),
        "{errors}"
    );
    fs::write(&last, "nonsense").unwrap();
    let (status, _, errors) = next("second.pack");
    assert!(status == 1 && errors.contains("not the serial and SHA-256 of a pack"), "{errors}");
}

#[test]
fn a_folder_becomes_a_pack_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let pack = text("first.pack");
    let (_, file) = pack.split_once("\nfile acme.toml ").unwrap();
    let (length, file) = file.split_once('\n').unwrap();
    assert_eq!(length.parse::<usize>().unwrap() + 1, file.len());
    fs::write(folder.path().join("acme.toml"), file.strip_suffix('\n').unwrap()).unwrap();
    let made = |serial: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
        command.args(["signatures", "pack"]).arg(folder.path()).args(["--serial", serial, "-o", "-"]);
        command.output().unwrap()
    };
    let done = made("2099010101");
    assert!(done.status.success());
    assert_eq!(done.stdout, bytes("first.pack"));
    // What would be refused when it is loaded is not packed.
    fs::write(folder.path().join("acme.toml"), file.replace("confidence = 95", "confidence = 950")).unwrap();
    let done = made("1");
    assert_eq!((done.status.code(), done.stdout), (Some(1), Vec::new()));
    assert!(String::from_utf8(done.stderr).unwrap().contains("acme.toml:"));
}
