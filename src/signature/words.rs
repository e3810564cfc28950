//! The closed word lists of signature files: functions, bases, data, regions.
//!
//! In: a word as it stands in a file. Out: a value of a small type, or `None`. Regions are those of
//! `place`, so that what a signature declares and what a database says can be compared.

use serde::{Serialize, Serializer};

pub use crate::place::{GROUPS, Region};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every word of the list.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word in files and records.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            /// The value of a word.
            pub fn from_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|w| w.name() == word)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }
    };
}

words! {
    /// What a channel is for.
    Function {
        /// Fetches software, rules or patterns.
        Update "update",
        /// Asks whether it may run.
        Licence "licence",
        /// Asks what is known of a URL, name, address or hash.
        ReputationLookup "reputation-lookup",
        /// Sends files for analysis.
        FileSubmission "file-submission",
        /// Reports on itself and its use.
        Telemetry "telemetry",
        /// Sends logs.
        LogUpload "log-upload",
        /// Is configured from a cloud.
        CloudManagement "cloud-management",
        /// Lets people in from outside, or reaches in itself.
        RemoteAccess "remote-access",
        /// Sends what a help desk asks for.
        Support "support",
        /// Anything else, and wide fallbacks.
        Other "other",
    }
}

impl Function {
    /// Whether people open it themselves, in a browser: it does not tell that a product is there.
    pub fn is_opened_by_people(self) -> bool {
        matches!(self, Function::CloudManagement | Function::Support | Function::Other)
    }
}

words! {
    /// How something is known.
    Basis {
        /// The vendor says so.
        VendorDocument "vendor-document",
        /// Seen in captures.
        Observed "observed",
        /// Somebody else says so.
        ThirdParty "third-party",
        /// It follows from what is known.
        Inferred "inferred",
    }
}

words! {
    /// What a channel carries.
    Data {
        /// Addresses of pages that people open.
        Url "url",
        /// Host names that are visited.
        Hostname "hostname",
        /// IP addresses of hosts.
        IpAddress "ip-address",
        /// Whole files.
        File "file",
        /// Digests of files.
        FileHash "file-hash",
        /// Mail, or parts of it.
        Email "email",
        /// Names of people or accounts.
        UserIdentity "user-identity",
        /// Serial numbers and the like.
        DeviceIdentity "device-identity",
        /// Which devices there are.
        DeviceInventory "device-inventory",
        /// Licence data.
        Licence "licence",
        /// Settings of the product.
        Configuration "configuration",
        /// Records of what the product detected.
        SecurityLog "security-log",
        /// Records of who talked to whom.
        TrafficLog "traffic-log",
        /// How the product is used.
        UsageStatistics "usage-statistics",
        /// What was in memory when it failed.
        CrashReport "crash-report",
        /// Collections for a help desk.
        SupportBundle "support-bundle",
        /// What programs do on a host.
        ProcessActivity "process-activity",
        /// Which programs are installed.
        SoftwareInventory "software-inventory",
        /// Which version of the product runs.
        SoftwareVersion "software-version",
        /// Passwords, keys, tokens.
        Credentials "credentials",
        /// The traffic of users itself.
        UserTraffic "user-traffic",
        /// Where a device or person is.
        Location "location",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for function in Function::ALL {
            assert_eq!(Function::from_word(function.name()), Some(*function));
        }
        for basis in Basis::ALL {
            assert_eq!(Basis::from_word(basis.name()), Some(*basis));
        }
        for data in Data::ALL {
            assert_eq!(Data::from_word(data.name()), Some(*data));
        }
        assert_eq!((Function::ALL.len(), Basis::ALL.len(), Data::ALL.len()), (10, 4, 22));
        assert_eq!(Data::from_word("telemetry"), None);
        assert_eq!(Function::from_word("Update"), None);
    }
}
