use std::fs;
use std::path::Path;

use super::super::inputs::INPUTS_MAX;
use super::super::{Damage, Inputs, Source};
use super::compressed::{gzip, xz};
use super::{Got, enhanced, got, interface, pcap_file, section};
use crate::capture::walk::Order;

fn names(paths: &[&Path]) -> Vec<String> {
    let name = |path: &&Path| path.to_string_lossy().into_owned();
    paths.iter().map(name).collect()
}

fn read_all(names: &[String], filter: Option<&str>) -> (Vec<Got>, Inputs) {
    let mut inputs = Inputs::open(names, filter).unwrap();
    let mut packets = Vec::new();
    let mut number = 1;
    while let Some(block) = inputs.next_block() {
        assert_eq!(block.first_number, number);
        number += block.packets.len() as u64;
        packets.extend(got(&block.bytes, &block.packets));
    }
    assert!(inputs.next_block().is_none());
    (packets, inputs)
}

fn words(packets: &[Got]) -> Vec<&str> {
    let word = |got: &'_ Got| std::str::from_utf8(&got.bytes).unwrap().to_owned();
    let owned: Vec<String> = packets.iter().map(word).collect();
    owned.into_iter().map(|word| &*word.leak()).collect()
}

fn fatal<'a>(damage: &'a [Damage], end: &str) -> &'a Damage {
    let found = damage.iter().find(|one| one.input.ends_with(end));
    found.unwrap_or_else(|| panic!("no damage of {end}: {damage:?}"))
}

#[test]
fn inputs_are_read_in_the_order_of_their_first_packet() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut pcapng = section(Order::Big);
    pcapng.extend(interface(Order::Big, 1, 0, &[]));
    pcapng.extend(enhanced(Order::Big, 0, 15_000_000, 1, b"c"));
    fs::write(path("z"), pcap_file(&[(10, b"a"), (100, b"b")])).unwrap();
    fs::write(path("y"), pcapng).unwrap();
    fs::write(path("a"), gzip(&pcap_file(&[(20, b"d")]))).unwrap();
    // The same time: by name.
    fs::write(path("c"), pcap_file(&[(20, b"f")])).unwrap();
    fs::write(path("b"), xz(&pcap_file(&[(20, b"e")]))).unwrap();
    let (z, y, a) = (path("z"), path("y"), path("a"));
    let (c, b) = (path("c"), path("b"));
    let (packets, inputs) = read_all(&names(&[&c, &b, &a, &z, &y]), None);
    assert_eq!(words(&packets), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(inputs.damage(), []);
    let total: u64 = [z, y, a, c, b].iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(inputs.progress(), (total, Some(total)));
    assert_eq!((inputs.found(), inputs.filtered()), (5, 0));
}

#[test]
fn directories_give_all_captures_below() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::create_dir(root.join("nothing")).unwrap();
    fs::write(root.join("deep/er/one.txt"), pcap_file(&[(2, b"2")])).unwrap();
    fs::write(root.join("deep/two.pcap.gz"), gzip(&pcap_file(&[(1, b"1")]))).unwrap();
    fs::write(root.join("readme.pcap"), "not at all").unwrap();
    fs::write(root.join("empty.pcap"), "").unwrap();
    fs::write(root.join("none.pcap"), pcap_file(&[])).unwrap();
    std::os::unix::fs::symlink(root, root.join("deep/circle")).unwrap();
    let (packets, inputs) = read_all(&names(&[root]), None);
    assert_eq!(words(&packets), ["1", "2"]);
    assert_eq!(inputs.found(), 5);
    let damage = inputs.damage();
    assert_eq!(damage.len(), 3, "{damage:?}");
    assert_eq!(fatal(damage, "readme.pcap").reason, "not a capture file");
    assert_eq!(fatal(damage, "empty.pcap").reason, "empty");
    assert_eq!(fatal(damage, "deep/circle").reason, "not a regular file");
    assert!(damage.iter().all(|one| one.fatal));
    let nothing = root.join("nothing");
    let (_, inputs) = read_all(&names(&[&nothing]), None);
    assert_eq!(inputs.damage()[0].reason, "an empty directory");
}

#[test]
fn damage_names_the_input_and_whether_anything_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let whole = pcap_file(&[(5, b"good"), (6, b"lost")]);
    fs::write(path("some"), &whole[..whole.len() - 1]).unwrap();
    fs::write(path("nothing"), &whole[..30]).unwrap();
    fs::write(path("header"), &whole[..20]).unwrap();
    fs::write(path("gz"), &gzip(&whole)[..12]).unwrap();
    let (some, nothing, header) = (path("some"), path("nothing"), path("header"));
    let (gz, missing) = (path("gz"), path("missing"));
    let list = names(&[&some, &nothing, &header, &missing, &gz]);
    let (packets, inputs) = read_all(&list, None);
    assert_eq!(words(&packets), ["good"]);
    let damage = inputs.damage();
    let at = |end: &str| (fatal(damage, end).offset, fatal(damage, end).fatal);
    assert_eq!(damage.len(), 5);
    assert_eq!(at("some"), (24 + 20, false));
    assert_eq!(at("nothing"), (24, true));
    assert_eq!(at("header"), (0, true));
    assert_eq!(at("missing"), (0, true));
    assert_eq!(at("gz"), (0, true));
    assert!(fatal(damage, "missing").reason.contains("No such file"));
}

#[test]
fn a_name_may_be_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let plain = directory.path().join("plain");
    fs::write(&plain, pcap_file(&[(9, b"last")])).unwrap();
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::write(pipe, pcap_file(&[(7, b"first"), (8, b"then")])))
    };
    let (packets, inputs) = read_all(&names(&[&plain, &pipe]), None);
    writer.join().unwrap().unwrap();
    assert_eq!(words(&packets), ["first", "then", "last"]);
    assert_eq!(inputs.damage(), []);
    assert_eq!(inputs.progress().1, None);
}

#[test]
fn a_file_that_went_away_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("a"), pcap_file(&[(1, b"1")])).unwrap();
    fs::write(path("b"), pcap_file(&[(2, b"2")])).unwrap();
    let list = names(&[&path("a"), &path("b")]);
    let mut inputs = Inputs::open(&list, None).unwrap();
    fs::remove_file(path("b")).unwrap();
    assert_eq!(inputs.next_block().unwrap().packets.len(), 1);
    assert!(inputs.next_block().is_none());
    assert!(fatal(inputs.damage(), "b").fatal);
}

#[test]
fn blocks_are_bounded_and_of_one_input() {
    let directory = tempfile::tempdir().unwrap();
    let mut list = Vec::new();
    for number in 0..3u32 {
        let path = directory.path().join(number.to_string());
        let records: Vec<(u32, &[u8])> = (0..1500).map(|i| (number * 10_000 + i, &b"x"[..])).collect();
        fs::write(&path, pcap_file(&records)).unwrap();
        list.push(path.to_string_lossy().into_owned());
    }
    let mut inputs = Inputs::open(&list, None).unwrap();
    let mut lengths = Vec::new();
    while let Some(block) = inputs.next_block() {
        lengths.push((block.first_number, block.packets.len()));
    }
    let expected = [(1, 1024), (1025, 476), (1501, 1024), (2525, 476), (3001, 1024), (4025, 476)];
    assert_eq!(lengths, expected);
}

/// The test runs itself again to have a standard input of its own.
#[test]
fn standard_input() {
    const CHILD: &str = "BORDERTAP_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let names = ["-".to_owned(), "-".to_owned()];
        let (packets, inputs) = read_all(&names, None);
        println!("words {:?}", words(&packets));
        println!("damage {:?}", inputs.damage());
        return;
    }
    let plain = pcap_file(&[(1, b"one"), (2, b"two")]);
    for bytes in [plain.clone(), gzip(&xz(&plain)), plain[..60].to_vec(), Vec::new()] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "capture::tests::inputs::standard_input"])
            .env(CHILD, "1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("named more than once"), "{text}");
        let expected = match bytes.len() {
            0 => "words []",
            60 => "words [\"one\"]",
            _ => "words [\"one\", \"two\"]",
        };
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.contains("empty"), bytes.is_empty());
        assert_eq!(text.contains("offset: 43"), bytes.len() == 60, "{text}");
    }
}

#[cfg(not(feature = "libpcap"))]
#[test]
fn a_filter_needs_libpcap() {
    let error = Inputs::open(&[], Some("tcp")).err().unwrap();
    assert!(error.to_string().contains("feature libpcap"), "{error}");
}

/// Names beyond the limit are not read, and it is said.
#[test]
fn names_beyond_the_limit() {
    let mut many = vec![String::new(); INPUTS_MAX];
    many.push("beyond.pcap".to_owned());
    let inputs = Inputs::open(&many, None).unwrap();
    assert_eq!(inputs.found(), INPUTS_MAX);
    let told = inputs.damage().iter().find(|damage| damage.input == "beyond.pcap").unwrap();
    assert!(
        told.fatal && told.reason == format!("1 inputs beyond the first {INPUTS_MAX} are not read"),
        "{}",
        told.reason
    );
}
