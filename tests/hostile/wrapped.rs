//! What is wrapped around a flow: proxies, fragments, tags and tunnels.
