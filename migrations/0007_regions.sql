-- Regions of the DERP map beside this server's own, with the secret that their relays share, and relays on other
-- machines that sign in here: only the SHA-256 of a relay's secret is kept. Nodes are JSON, see coord/region.h.

CREATE TABLE regions (
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	id		INTEGER NOT NULL CHECK (id BETWEEN 1 AND 65535),
	code		TEXT NOT NULL,
	name		TEXT NOT NULL,
	mesh_key	BLOB NOT NULL CHECK (length(mesh_key) = 32),
	nodes		TEXT NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	PRIMARY KEY (tailnet_id, id),
	UNIQUE (tailnet_id, code)
) STRICT, WITHOUT ROWID;

-- node: as it was reachable last, {} before the first time.
CREATE TABLE relays (
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	name		TEXT NOT NULL,
	id		TEXT NOT NULL UNIQUE,
	secret_hash	BLOB NOT NULL CHECK (length(secret_hash) = 32),
	region_id	INTEGER NOT NULL,
	node		TEXT NOT NULL,
	is_announced	INTEGER NOT NULL,
	version		TEXT NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	last_seen_unix_s INTEGER NOT NULL,
	PRIMARY KEY (tailnet_id, name)
) STRICT, WITHOUT ROWID;
