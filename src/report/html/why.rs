//! The sentences that say why, in both languages.
//!
//! In: English sentences of `policy`, `place` and `join`. Out: which pattern a sentence has, its slots, and the pattern in
//! Chinese. A sentence of no pattern stays English. Slots are whatever stands between the fixed words; those that are phrases
//! themselves (`68,299 bytes`, `… through a proxy`) have patterns of their own.

use std::borrow::Cow;

/// English and Chinese, `{}` for each slot. The first that fits counts: the more exact stand before the more general.
pub const PATTERNS: &[[&str; 2]] = &[
    ["A name was only asked for; no flow to it was seen.", "只查询过一个域名，未见到对应的流量。"],
    ["{} was only asked for; no flow to it was seen.", "只查询过 {}，未见到去往它的流量。"],
    ["It was opened from {}.", "该连接由 {} 发起。"],
    ["There were only attempts: no payload went to or came from {}.", "只有连接尝试：与 {} 之间没有任何载荷往来。"],
    ["{} came from {}; none went back.", "收到 {1} 发来的 {0}，没有回送数据。"],
    ["{} went to {}. Nothing was seen to come back.", "向 {1} 发送了 {0}，未见到返回数据。"],
    ["{} went to {}. {} came back.", "向 {1} 发送了 {0}，收回 {2}。"],
    ["It was only a handshake, without data after it.", "只完成了握手，之后没有数据。"],
    ["The address database says {} for {}, which is not a country.", "地址库对 {1} 给出 {0}，这不是国家或地区代码。"],
    ["The address database says {}; the vendor's page says {}.", "地址库给出 {}；厂商文档写的是 {}。"],
    ["The address database says {}, which is in the {}.", "地址库给出 {}，属于 {}。"],
    ["The address database says {}.", "地址库给出的归属地为 {}。"],
    ["The server name is hidden (ECH).", "服务器域名被加密隐藏（ECH）。"],
    ["The names and addresses that were seen do not fit together.", "所见的域名与地址互相矛盾。"],
    ["A hello asks for {} at {}.", "客户端握手请求的域名是 {}，目标地址是 {}。"],
    ["DNS gave that address for {}.", "DNS 曾以该地址解析 {}。"],
    ["The certificate there is for {}.", "该地址出示的证书属于 {}。"],
    ["That address belongs to AS{}, {}.", "该地址属于 AS{}，{}。"],
    ["{} carries the IPv4 address {} ({}, {}).", "{} 内嵌 IPv4 地址 {}（{}，{}）。"],
    ["Only the country of registration is known for {}.", "{} 只知道注册地所属国家或地区。"],
    ["No address database knows {}.", "地址库中没有 {}。"],
    ["{} is anycast ({}): one address, many places.", "{} 是任播地址（{}）：同一地址对应多个地点。"],
    ["{} is a special address ({}, {}) and has no country.", "{} 是特殊用途地址（{}，{}），不属于任何国家或地区。"],
    [
        "{} is a special address ({}, {}): whoever is nearest answers.",
        "{} 是特殊用途地址（{}，{}）：由最近的节点应答。",
    ],
    [
        "{} is a special address ({}, {}): a translator takes it to an IPv4 address that cannot be told from it.",
        "{} 是特殊用途地址（{}，{}）：由转换设备转到某个 IPv4 地址，从该地址本身无法得知。",
    ],
    ["The vendor says that this name is served from no fixed place.", "厂商说明该域名的服务地点不固定。"],
    ["The vendor says that this name is served from within the {}.", "厂商说明该域名的服务位于 {} 境内。"],
    ["The vendor says that this name is served from {}.", "厂商说明该域名的服务位于 {}。"],
    ["The vendor serves this name from no fixed place.", "厂商提供该域名服务的地点不固定。"],
    ["Copies of the same bytes differ: the name may also be {}.", "同一段字节出现了内容不同的副本：域名也可能是 {}。"],
    [
        "Copies of the same bytes differ: what arrived may be another message.",
        "同一段字节出现了内容不同的副本：实际到达的可能是另一条消息。",
    ],
    ["No signature explains why {} talks to it.", "没有特征能说明 {} 为何与它通信。"],
    [
        "The name comes from a DNS answer before the flow, not from the flow itself.",
        "域名取自流量之前的 DNS 应答，而不是流量本身。",
    ],
    ["Exempt by policy until {}, {}: {}", "按策略豁免至 {}（责任人：{}）：{}"],
    ["The exemption in the policy ended on {}; it was made by {}.", "策略中的豁免已于 {} 到期（责任人：{}）。"],
    [
        "No home is set: where it is is told, whether it left is not asked.",
        "未设定境内国家：只报告去向，不判断是否出境。",
    ],
];

/// Slots that are phrases.
pub const PHRASES: &[[&str; 2]] = &[
    ["an unnamed host through a proxy", "经代理到达的未知主机"],
    ["{} through a proxy", "经代理到达的 {}"],
    ["an unknown host", "未知主机"],
    ["{} bytes", "{} 字节"],
    ["{} byte", "{} 字节"],
];

/// The pattern of a sentence, and what is in its slots.
pub fn recognised<'a>(sentence: &'a str, patterns: &[[&str; 2]]) -> Option<(usize, Vec<&'a str>)> {
    patterns.iter().enumerate().find_map(|(at, [english, _])| Some((at, slots(sentence, english)?)))
}

/// What stands in the slots of a pattern; `None` when a text has not its fixed words.
fn slots<'a>(text: &'a str, pattern: &str) -> Option<Vec<&'a str>> {
    let mut fixed = pattern.split("{}");
    let mut rest = text.strip_prefix(fixed.next()?)?;
    let mut found = Vec::new();
    let mut fixed = fixed.peekable();
    while let Some(words) = fixed.next() {
        let at = match fixed.peek() {
            // The last words are those at the end.
            None => rest.strip_suffix(words)?.len(),
            Some(_) => rest.find(words)?,
        };
        if at == 0 {
            return None;
        }
        found.push(rest.get(..at)?);
        rest = rest.get(at + words.len()..)?;
    }
    rest.is_empty().then_some(found)
}

/// A sentence in Chinese, or `None` when its pattern is not known.
pub fn chinese(sentence: &str) -> Option<String> {
    let (at, slots) = recognised(sentence, PATTERNS)?;
    let slots: Vec<Cow<'_, str>> = slots.into_iter().map(phrase).collect();
    Some(put(PATTERNS.get(at)?[1], &slots))
}

/// A slot in Chinese.
fn phrase(slot: &str) -> Cow<'_, str> {
    let Some((at, slots)) = recognised(slot, PHRASES) else { return Cow::Borrowed(slot) };
    let slots: Vec<Cow<'_, str>> = slots.into_iter().map(Cow::Borrowed).collect();
    Cow::Owned(put(PHRASES.get(at).map_or("{}", |both| both[1]), &slots))
}

/// Fills `{}` in order and `{0}`, `{1}`, … by number.
fn put(pattern: &str, slots: &[Cow<'_, str>]) -> String {
    let mut out = String::new();
    let (mut rest, mut next) = (pattern, 0);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((number, behind)) = after.split_once('}') else { break };
        let at = number.parse().unwrap_or(next);
        next += 1;
        out.push_str(before);
        out.push_str(slots.get(at).map_or("", |slot| slot));
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_what_stands_between() {
        let sentence = "68,299 bytes went to 209.66.107.20. 4,599 bytes came back.";
        let (at, slots) = recognised(sentence, PATTERNS).unwrap();
        assert_eq!((PATTERNS[at][0], slots.len()), ("{} went to {}. {} came back.", 3));
        assert_eq!(slots, ["68,299 bytes", "209.66.107.20", "4,599 bytes"]);
        assert_eq!(chinese(sentence).unwrap(), "向 209.66.107.20 发送了 68,299 字节，收回 4,599 字节。");
        assert_eq!(
            chinese("1 byte went to x.example through a proxy. Nothing was seen to come back.").unwrap(),
            "向 经代理到达的 x.example 发送了 1 字节，未见到返回数据。"
        );
        assert_eq!(chinese("Something else."), None);
        assert_eq!(chinese("It was opened from ."), None);
    }

    /// Every pattern has as many slots in Chinese, and no earlier one takes its sentences.
    #[test]
    fn patterns_are_apart_and_whole() {
        for patterns in [PATTERNS, PHRASES] {
            for (at, [english, chinese]) in patterns.iter().enumerate() {
                assert_eq!(english.matches('{').count(), chinese.matches('{').count(), "{english}");
                let sample = english.replace("{}", "192.0.2.1");
                assert_eq!(recognised(&sample, patterns).map(|(found, _)| found), Some(at), "{english}");
                assert!(!put(chinese, &vec!["x".into(); 4]).contains('{'), "{chinese}");
            }
        }
    }
}
