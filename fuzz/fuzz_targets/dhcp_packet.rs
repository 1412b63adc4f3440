#![no_main]

manifold_fuzz::target!("dhcp_packet");
