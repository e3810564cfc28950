//! What it runs on: processor, memory, kernel, frequency; who else is at work; how much memory this process has used.
//!
//! In: files of `/proc` and `/sys` (proc(5)). Out: numbers, `None` where something cannot be read, as on other systems.

use std::fs;

use super::result::{Build, Machine};

/// Reads what the machine says of itself.
pub fn machine() -> Machine {
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = |key: &str| cpuinfo.as_deref().and_then(|text| field(text, key));
    Machine {
        cpu: ["model name", "Model", "cpu model", "uarch"].into_iter().find_map(cpu).map(str::to_owned),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kilobytes("/proc/meminfo", "MemTotal"),
        kernel: match read("/proc/sys/kernel/osrelease") {
            Some(release) => format!("Linux {release}"),
            None => std::env::consts::OS.to_owned(),
        },
        is_virtual: cpu("flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        boost: boost(),
        load_average: read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
    }
}

/// How this program was built.
pub fn build() -> Build {
    Build {
        rustc: env!("BORDERTAP_BUILD_RUSTC").to_owned(),
        profile: env!("BORDERTAP_BUILD_PROFILE").to_owned(),
        opt_level: env!("BORDERTAP_BUILD_OPT_LEVEL").to_owned(),
        target: env!("BORDERTAP_BUILD_TARGET").to_owned(),
        rustflags: env!("BORDERTAP_BUILD_RUSTFLAGS").to_owned(),
        features: env!("BORDERTAP_BUILD_FEATURES").to_owned(),
    }
}

/// Memory that could be had without swapping.
pub fn available_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable")
}

/// Forgets the peak of this process, so that the next one is found. False when the system has no way to.
pub fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Most memory this process has had since the peak was forgotten.
pub fn peak_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM")
}

/// Fields of `/proc/self/stat` that are time of ours: runs and scans are children that have ended.
const OWN: [&str; 4] = ["utime", "stime", "cutime", "cstime"];

/// Processor time, in ticks, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
    ours: u64,
}

impl Ticks {
    /// Now.
    pub fn now() -> Option<Ticks> {
        Ticks::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    /// From the first line of `/proc/stat`, and from `/proc/self/stat`.
    fn parse(system: &str, process: &str) -> Option<Ticks> {
        let cpu: Vec<u64> =
            system.lines().next()?.strip_prefix("cpu ")?.split_whitespace().flat_map(str::parse).take(8).collect();
        let &[user, nice, kernel, idle, waiting, interrupts, soft, stolen] = cpu.as_slice() else { return None };
        let busy = user + nice + kernel + interrupts + soft;
        // The name of a program may hold anything, so fields are counted from its last bracket.
        let own = process.rsplit_once(") ")?.1.split(' ').skip(11).take(OWN.len());
        let ours = own.map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
        Some(Ticks { all: busy + idle + waiting + stolen, busy, stolen, ours })
    }

    /// Since an earlier moment: cores that others kept busy, and the part of time that was stolen.
    pub fn since(&self, before: &Ticks, cores: usize) -> (f64, f64) {
        let all = (self.all.saturating_sub(before.all) as f64).max(1.0);
        let busy = self.busy.saturating_sub(before.busy);
        let others = busy.saturating_sub(self.ours.saturating_sub(before.ours));
        let stolen = self.stolen.saturating_sub(before.stolen);
        (others as f64 / all * cores as f64, stolen as f64 / all)
    }
}

fn boost() -> Option<bool> {
    let flag = |path: &str| read(path).and_then(|text| text.parse::<u8>().ok());
    let no_turbo = || flag("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|off| off == 0);
    flag("/sys/devices/system/cpu/cpufreq/boost").map(|on| on == 1).or_else(no_turbo)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value of the first `key : value` line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key).map(|(_, v)| v.trim())
}

fn kilobytes(path: &str, key: &str) -> Option<u64> {
    let text = read(path)?;
    let number: u64 = field(&text, key)?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_apart_from_us() {
        let process = |ticks: u64| format!("7 (a) b) R 1 1 1 0 -1 4194304 1 0 0 0 {ticks} 5 3 2 20 0");
        let before = Ticks::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1", &process(40)).unwrap_or_default();
        let after = Ticks::parse("cpu  220 0 80 840 50 0 0 10 0 0", &process(140)).unwrap_or_default();
        assert_eq!(before, Ticks { all: 1000, busy: 150, stolen: 0, ours: 50 });
        // 200 ticks passed on two cores: 150 busy, 100 of them ours, 10 stolen.
        let (others, stolen) = after.since(&before, 2);
        assert!((others - 0.5).abs() < 1e-9 && (stolen - 0.05).abs() < 1e-9, "{others} {stolen}");
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "flags"), None);
    }
}
