//! Which proxy a request goes through, as curl documents the variables `*_PROXY` and NO_PROXY.

use std::net::IpAddr;

use ureq::http::Uri;

/// As curl has it, whatever the scheme.
const DEFAULT_PORT: u16 = 1080;

/// The address of the proxy for `address`, None where a request goes there directly. `env` gives
/// the value of a variable.
///
/// # Errors
/// What is wrong with a proxy that cannot be used; going there directly would be no answer.
pub fn proxy_for(
    address: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let Ok(target) = address.parse::<Uri>() else { return Ok(None) };
    let scheme = target.scheme_str().unwrap_or("http");
    // HTTP_PROXY in capitals is what a web server makes of a header of its client.
    let names = match scheme {
        "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"][..],
        _ => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let Some((named, value)) = names.iter().find_map(|name| Some((name, given(name)?))) else {
        return Ok(None);
    };
    let listed = given("no_proxy").or_else(|| given("NO_PROXY")).unwrap_or_default();
    if is_exempt(&target, scheme, &listed) {
        return Ok(None);
    }
    let text = if value.contains("://") { value } else { format!("http://{value}") };
    let wrong = || format!("{named} is no address of a proxy (write it like http://host:3128)");
    let proxy: Uri = text.parse().map_err(|_| wrong())?;
    let scheme = match proxy.scheme_str().unwrap_or_default() {
        scheme @ ("http" | "https") => scheme,
        // Finding the host's address is the proxy's matter. GNOME writes socks for SOCKS 5.
        "socks" | "socks5" | "socks5h" => "socks5h",
        "socks4" | "socks4a" => {
            return Err(format!(
                "{named} names a proxy of SOCKS 4, which cannot be used here (name one of SOCKS 5 \
                 or HTTP, or exempt the host with NO_PROXY)"
            ));
        }
        _ => return Err(wrong()),
    };
    let authority = proxy.authority().ok_or_else(wrong)?;
    let port = if authority.port().is_some() { String::new() } else { format!(":{DEFAULT_PORT}") };
    Ok(Some(format!("{scheme}://{authority}{port}")))
}

fn is_exempt(target: &Uri, scheme: &str, listed: &str) -> bool {
    let host = target.host().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let port = target.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let mut entries = listed.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    entries.any(|entry| matches(entry, &host, port))
}

/// Whether an entry of NO_PROXY is the host, a domain or a network that it is in.
fn matches(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let (name, wanted) = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        // An IPv6 address may stand without brackets, and then without a port.
        None => match entry.split_once(':') {
            Some((name, port)) if !port.contains(':') => (name, Some(port)),
            _ => (entry, None),
        },
    };
    if wanted.is_some_and(|wanted| wanted.parse() != Ok(port)) {
        return false;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_in(address, name);
    }
    let domain = name.trim_matches('.').to_ascii_lowercase();
    !domain.is_empty() && format!(".{host}").ends_with(&format!(".{domain}"))
}

/// Whether an address is the one that `network` names, or in it.
fn is_in(address: IpAddr, network: &str) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, bits.parse().ok()),
        None => (network, Some(128)),
    };
    let (Ok(base), Some(bits)) = (base.parse::<IpAddr>(), bits) else { return false };
    let same = |address: u128, base: u128, width: u32| {
        let free = width.saturating_sub(bits);
        address.checked_shr(free).unwrap_or(0) == base.checked_shr(free).unwrap_or(0)
    };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => {
            same(u32::from(address).into(), u32::from(base).into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(base)) => same(address.into(), base.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_host_domain_or_network_and_may_have_a_port() {
        for (entry, host, is_match) in [
            ("example.test", "api.example.test", true),
            (".example.test", "example.test", true),
            ("ample.test", "example.test", false),
            ("127.0.0.0/8", "127.1.2.3", true),
            ("10.0.0.0/8", "127.1.2.3", false),
            ("0.0.0.0/0", "127.1.2.3", true),
            ("::1", "::1", true),
            ("[::1]:80", "::1", true),
            ("[::1]:81", "::1", false),
            ("fe80::/10", "fe80::7", true),
            ("fe80::/10", "::1", false),
            ("host:80", "host", true),
            ("host:81", "host", false),
            ("*", "host", true),
        ] {
            assert_eq!(matches(entry, host, 80), is_match, "{entry} {host}");
        }
    }
}
