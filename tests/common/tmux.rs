//! A terminal in which programs are driven by keys and looked at (tmux).
//!
//! In: a command, keys. Out: what stands on the screen.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for a screen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether there is one to be had.
pub fn is_there() -> bool {
    Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// A terminal of its own, which goes away with this.
pub struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    /// Runs a command of the shell in it; behind it its status is shown.
    pub fn open(command: &str) -> Tmux {
        let tmux = Tmux { folder: tempfile::tempdir().unwrap() };
        let command = format!("{command}; echo \"status $?\"; exec sleep 600");
        tmux.run(&["new-session", "-d", "-x", "120", "-y", "40", &command]);
        tmux
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(self.socket()).args(args).env_remove("TMUX");
        let output = command.output().unwrap();
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// No alternate screen, and the cursor shows.
    pub fn is_restored(&self) {
        let told = self.run(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(told.trim(), "0 1");
    }

    /// The screen, once it is as it should be.
    pub fn wait(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(self.socket()).arg("kill-server").output();
    }
}
