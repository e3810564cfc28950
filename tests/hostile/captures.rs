//! Captures, and their times.

/// The times of one test.
mod times {
    use std::time::Duration;

    use bordertap::join::Knowledge;

    use crate::check::{self, flags};
    use crate::common::conversation::{Conversation, From};
    use crate::common::packets::{Endpoint, Packet};
    use crate::common::sensors::{Kept, Made, START, sense};
    use crate::common::tls::{self, Version};

    const SECOND: u64 = 1_000_000_000;
    const TEN_YEARS: u64 = 3652 * 24 * 3600 * SECOND;
    const FLOWS: usize = 50;

    /// Flows that all begin, then all go on and end: the packets of both halves.
    fn halves(start: u64) -> [Vec<Packet>; 2] {
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for n in 0..FLOWS {
            let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 40_000 + n as u16);
            let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", 443);
            let mut flow = Conversation::new(client, server, start + n as u64 * 1000, 1000);
            flow.open();
            flow.send(From::Client, &tls::client_hello(Version::Tls13, Some("www.example.com")));
            flow.send(From::Server, &tls::server_hello(Version::Tls13));
            let half = flow.now() + SECOND / 2;
            flow.wait(SECOND);
            flow.send(From::Client, &tls::application_data(Version::Tls13, 500, 1));
            flow.close();
            let (first, second): (Vec<_>, Vec<_>) = flow.packets().into_iter().partition(|p| p.time < half);
            begun.extend(first);
            ended.extend(second);
        }
        [&mut begun, &mut ended].into_iter().for_each(|half| half.sort_by_key(|packet| packet.time));
        [begun, ended]
    }

    /// A packet of somebody whose clock is ten years fast.
    fn astray() -> Packet {
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.2", 40_000);
        let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.81", 443);
        let mut flow = Conversation::new(client, server, START + TEN_YEARS, 1000);
        flow.attempt();
        flow.packets().remove(0)
    }

    fn names(read: &check::Read) -> Vec<&str> {
        read.flows.iter().filter_map(|flow| flow["tls"]["client"]["server_name"].as_str()).collect()
    }

    /// 1970 and 2106, the first and the last second that a capture can write, are times like others.
    #[test]
    fn row_37_the_first_and_the_last_second_are_times_like_others() {
        for (start, text) in [(0, "1970-01-01T00:00:00.0"), (4_294_967_290, "2106-02-07T06:28:10.0")] {
            let packets = halves(start * SECOND).concat();
            let read = check::read(&packets);
            assert_eq!(names(&read), ["www.example.com"; FLOWS]);
            for flow in &read.flows {
                assert!(flow["event"]["start"].as_str().unwrap().starts_with(text), "{flow}");
                assert!(flow["event"]["start"].as_str() <= flow["event"]["end"].as_str(), "{flow}");
                assert_eq!(flags(flow), [""; 0]);
            }
        }
    }

    /// Every packet is earlier than the one before: the same flows with the same names.
    #[test]
    fn row_37b_times_that_run_backwards_end_no_flow() {
        let mut packets = halves(START).concat();
        let count = packets.len() as u64;
        for (n, packet) in (0..).zip(&mut packets) {
            packet.time = START + (count - n) * 600 * SECOND;
        }
        let read = check::read(&packets);
        assert_eq!(names(&read), ["www.example.com"; FLOWS]);
        for flow in &read.flows {
            assert!(flow["event"]["start"].as_str() <= flow["event"]["end"].as_str(), "{flow}");
            assert!(!flags(flow).contains(&"midstream".to_owned()), "{flow}");
        }
    }

    /// One packet ten years ahead among others ends none of their flows.
    #[test]
    fn row_37c_a_packet_from_the_future_ends_nobody_elses_flow() {
        let [begun, ended] = halves(START);
        let read = check::read(&[begun, vec![astray()], ended].concat());
        assert_eq!(read.flows.len(), FLOWS + 1);
        assert_eq!(names(&read), ["www.example.com"; FLOWS]);
        let others = read.flows.iter().filter(|flow| flow["source"]["ip"] == "10.1.1.1");
        assert!(others.map(|flow| flags(flow).len()).eq([0; FLOWS]), "{:#?}", read.flows[0]);
    }

    /// The clock jumps by ten years and stays: what goes on behind it is a new flow, and flagged as one without a start.
    #[test]
    fn row_37d_a_clock_that_jumps_splits_flows_and_flags_the_second_halves() {
        let [begun, mut ended] = halves(START);
        ended.iter_mut().for_each(|packet| packet.time += TEN_YEARS);
        let packets = [begun, ended].concat();
        let read = check::read(&packets);
        assert_eq!(read.flows.len(), 2 * FLOWS);
        assert_eq!(names(&read), ["www.example.com"; FLOWS]);
        let unnamed = read.flows.iter().filter(|flow| flow["tls"]["client"]["server_name"].is_null());
        assert_eq!(unnamed.filter(|flow| flags(flow).contains(&"midstream".to_owned())).count(), FLOWS);
        let sum: u64 = read.flows.iter().map(|flow| flow["network"]["packets"].as_u64().unwrap()).sum();
        assert_eq!(sum, packets.len() as u64);
    }

    /// A sensor whose clock follows the packets closes flows when it jumps; they are flagged when they go on, the sensor
    /// lives, and no packet is lost.
    #[test]
    fn row_37e_a_sensor_survives_a_clock_that_jumps_and_comes_back() {
        let [begun, ended] = halves(START);
        let packets = (begun.len() + ended.len() + 1) as u64;
        let mut blocks = vec![begun, vec![astray()], ended].into_iter();
        let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(5) };
        let mut kept = Kept::default();
        let told = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
        assert!(told.report.ledger.adds_up());
        assert_eq!((told.report.ledger.received, told.report.ledger.decoded), (packets, packets));
        let sum: u64 = kept.flows.iter().map(|flow| flow["network"]["packets"].as_u64().unwrap()).sum();
        assert_eq!(sum, packets);
        let whole = kept.flows.iter().filter(|flow| flow["destination"]["domain"] == "www.example.com").count();
        assert_eq!(whole, FLOWS);
        let rest = kept.flows.len() - FLOWS - 1;
        let flagged = kept.flows.iter().filter(|flow| flags(flow).contains(&"midstream".to_owned())).count();
        assert_eq!(flagged, rest, "what was closed by the clock and went on says so");
    }
}
