//! Policies that come with the program.
//!
//! In: the name that was typed behind `--policy`. Out: the text of a policy file. Each says in its first comment what it
//! assumes, and by which source.

use std::path::Path;

/// A policy that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// What is typed.
    pub name: &'static str,
    /// A policy file.
    pub text: &'static str,
}

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset { name: "cn", text: include_str!("presets/cn.toml") },
    Preset { name: "eu", text: include_str!("presets/eu.toml") },
    Preset { name: "none", text: include_str!("presets/none.toml") },
];

/// The preset of a name. A file of that name is written `./cn`, so that what is meant does not hang on the folder one is in.
pub fn preset(name: &Path) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| name.as_os_str() == preset.name)
}

impl Preset {
    /// What it assumes: the comment before its first key.
    pub fn about(&self) -> impl Iterator<Item = &'static str> {
        let comment = self.text.lines().take_while(|line| line.starts_with('#'));
        comment.map(|line| line.trim_start_matches('#').strip_prefix(' ').unwrap_or_default())
    }
}
