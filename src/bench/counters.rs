//! Cycles and instructions of this process, user mode, threads it starts included.
//!
//! In: nothing. Out: counts between [`Counters::start`] and [`Counters::stop`], or why the kernel counts none
//! (perf_event_open(2): no permission, or a virtual machine without hardware counters).

/// Cycles, then instructions.
pub type Counts = [u64; 2];

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use perf_event::events::Hardware;
    use perf_event::{Builder, Counter};

    use super::Counts;

    /// The two counters.
    pub struct Counters([Counter; 2]);

    impl Counters {
        /// Opens them.
        ///
        /// # Errors
        /// The reason in words.
        pub fn open() -> Result<Counters, String> {
            let open = |what| Builder::new(what).inherit(true).build();
            match (open(Hardware::CPU_CYCLES), open(Hardware::INSTRUCTIONS)) {
                (Ok(cycles), Ok(instructions)) => Ok(Counters([cycles, instructions])),
                (Err(error), _) | (_, Err(error)) => Err(reason(&error)),
            }
        }

        /// Counts from zero.
        pub fn start(&mut self) {
            for counter in &mut self.0 {
                let _ = counter.reset().and_then(|()| counter.enable());
            }
        }

        /// What was counted; `None` when a counter failed or had to share the hardware with others for all the time.
        pub fn stop(&mut self) -> Option<Counts> {
            let [cycles, instructions] = &mut self.0;
            let read = |counter: &mut Counter| counter.disable().and_then(|()| counter.read()).ok();
            let counts = [read(cycles)?, read(instructions)?];
            counts.iter().all(|&count| count > 0).then_some(counts)
        }
    }

    fn reason(error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::NotFound => "this machine offers no hardware counters (a virtual machine?)".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "the kernel refuses; see kernel.perf_event_paranoid and CAP_PERFMON".to_owned()
            }
            _ => format!("perf_event_open: {error}"),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::Counts;

    /// No counters.
    pub struct Counters(());

    impl Counters {
        /// Never opens.
        ///
        /// # Errors
        /// Always: this system is not supported.
        pub fn open() -> Result<Counters, String> {
            Err("only on Linux".to_owned())
        }

        /// Does nothing.
        pub fn start(&mut self) {}

        /// Nothing was counted.
        pub fn stop(&mut self) -> Option<Counts> {
            None
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::Counters;
#[cfg(target_os = "linux")]
pub use linux::Counters;
