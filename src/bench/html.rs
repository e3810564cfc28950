//! page
/// p
pub fn write(_: &super::result::Bench, _: &mut dyn std::io::Write) -> std::io::Result<()> {
    Ok(())
}
