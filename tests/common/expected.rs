//! What an analyst should find in the demonstration capture.
//!
//! In: signature files, documented names, the built-in database of places. Out: one line for each finding. It is the
//! table of `fixtures/demo/README.md`, which gives the reasons; it was written before any program read the capture.

/// One line of what an analyst should find.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Address of the asset.
    pub asset: &'static str,
    /// Id of the channel in the signature files, or `unexplained`.
    pub channel: &'static str,
    /// Best name of the destination.
    pub domain: Option<&'static str>,
    /// Address of the destination; for a name that was only asked for, the address of the answer; none behind a proxy.
    pub address: Option<&'static str>,
    /// Country or group of countries, as the signature or else the built-in database has it.
    pub country: Option<&'static str>,
    /// The word of the output format.
    pub crossing: &'static str,
    /// Nothing came of it.
    pub attempted_only: bool,
    /// Flows that belong to it; none for a name that was only asked for.
    pub flows: u32,
    /// Whether one of them started in the month before.
    pub month_before: bool,
}

/// What is to be found, by asset. Written from the signature files, the names and the addresses; see
/// `fixtures/demo/README.md` for the reasons.
#[rustfmt::skip]
pub const EXPECTED: &[Expected] = &[
    row("10.20.0.1", "fortinet.fortiguard.update", Some("globalupdate.fortinet.net"), Some("173.243.138.100"), None, "not-determinable").flows(2),
    row("10.20.0.1", "fortinet.fortiguard.rating", Some("usguardservice.fortinet.net"), Some("173.243.140.20"), Some("US"), "observed").flows(4).also_before(),
    row("10.20.0.1", "fortinet.sandbox.control", Some("aptctrl1.fortinet.com"), Some("173.243.137.20"), None, "not-determinable"),
    row("10.20.0.1", "fortinet.sandbox.upload", None, Some("209.66.107.20"), Some("US"), "observed"),
    row("10.20.0.1", "fortinet.cloud.logs", None, Some("209.40.117.10"), Some("US"), "observed").flows(3).also_before(),
    row("10.20.0.1", "unexplained", Some("telemetry.unlisted.example"), Some("95.216.10.20"), Some("FI"), "observed").flows(13).also_before(),
    row("10.20.0.2", "palo-alto.wildfire.submission", Some("eu.wildfire.paloaltonetworks.com"), Some("34.90.12.34"), Some("EU"), "observed").flows(2).also_before(),
    row("10.20.0.2", "palo-alto.update", Some("updates.paloaltonetworks.com"), Some("34.96.84.34"), None, "not-determinable"),
    row("10.20.0.2", "palo-alto.telemetry", Some("br-prd1.us.cdl.paloaltonetworks.com"), Some("34.67.10.20"), Some("US"), "observed"),
    row("10.20.0.2", "palo-alto.pan-db", Some("s0000.urlcloud.paloaltonetworks.com"), Some("35.244.229.101"), None, "not-determinable").flows(2),
    row("10.20.0.2", "palo-alto.logging.query", Some("api.us.cdl.paloaltonetworks.com"), Some("35.224.10.20"), Some("US"), "probable"),
    row("10.20.0.2", "palo-alto.strata-cloud-manager", None, Some("35.246.199.57"), Some("EU"), "probable").attempt(),
    row("10.20.0.3", "check-point.threatcloud.cws", Some("cws.checkpoint.com"), Some("18.196.10.20"), None, "not-determinable"),
    row("10.20.0.3", "check-point.anti-virus.signatures", Some("avupdates.checkpoint.com"), Some("23.62.10.20"), None, "not-determinable"),
    row("10.20.0.3", "check-point.licence", Some("productcoverage.checkpoint.com"), Some("194.29.39.20"), None, "not-determinable"),
    row("10.20.0.3", "check-point.infinity-portal.api", Some("cloudinfra-gw-us.portal.checkpoint.com"), None, Some("US"), "probable"),
    row("10.20.0.3", "check-point.infinity-portal.api", Some("cloudinfra-gw.portal.checkpoint.com"), Some("52.31.20.20"), Some("IE"), "probable").attempt().flows(0),
    row("10.20.0.3", "unexplained", Some("time.unlisted.example"), Some("223.5.5.20"), Some("CN"), "home").flows(2),
    row("10.20.0.4", "vmware.ceip", Some("vcsa.vmware.com"), Some("192.19.149.20"), None, "not-determinable"),
    row("10.20.0.4", "vmware.vcf.depot", Some("dl.broadcom.com"), Some("104.18.10.20"), None, "not-determinable"),
    row("10.20.0.4", "vmware.vcf.licence", Some("vcf.broadcom.com"), Some("192.19.189.20"), None, "not-determinable"),
    row("10.20.0.4", "vmware.cloud-gateway.metrics", Some("demo.gw.us.vmc.vrops-cloud.com"), Some("52.24.10.20"), Some("US"), "observed"),
    row("10.20.0.4", "vmware.vsphere.retired-depot", Some("hostupdate.vmware.com"), Some("104.18.11.20"), None, "not-determinable").attempt().flows(0),
];

const fn row(
    asset: &'static str,
    channel: &'static str,
    domain: Option<&'static str>,
    address: Option<&'static str>,
    country: Option<&'static str>,
    crossing: &'static str,
) -> Expected {
    Expected {
        asset,
        channel,
        domain,
        address,
        country,
        crossing,
        attempted_only: false,
        flows: 1,
        month_before: false,
    }
}

impl Expected {
    const fn flows(mut self, flows: u32) -> Expected {
        self.flows = flows;
        self
    }

    const fn attempt(mut self) -> Expected {
        self.attempted_only = true;
        self
    }

    const fn also_before(mut self) -> Expected {
        self.month_before = true;
        self
    }
}
