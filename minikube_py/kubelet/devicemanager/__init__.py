"""The devices of this node: device plugins, drivers of dynamic resources, and what containers get of them."""
