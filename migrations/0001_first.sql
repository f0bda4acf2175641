-- The first schema. Times are unix seconds, 0 = never or not; keys are 32 raw bytes; lists are JSON arrays.
-- Ids are never given out twice: AUTOINCREMENT keeps the highest ever used.

CREATE TABLE tailnets (
	id		INTEGER PRIMARY KEY AUTOINCREMENT,
	name		TEXT NOT NULL UNIQUE,
	created_unix_s	INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	name		TEXT NOT NULL,
	value		TEXT NOT NULL,
	PRIMARY KEY (tailnet_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
	id		INTEGER PRIMARY KEY AUTOINCREMENT,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	name		TEXT NOT NULL,
	display_name	TEXT NOT NULL,
	role		TEXT NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	UNIQUE (tailnet_id, name)
) STRICT;

-- Only the SHA-256 of a key's secret is kept.
CREATE TABLE auth_keys (
	id		TEXT PRIMARY KEY,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	user_id		INTEGER NOT NULL REFERENCES users (id),
	secret_hash	BLOB NOT NULL CHECK (length(secret_hash) = 32),
	description	TEXT NOT NULL,
	tags		TEXT NOT NULL,
	is_reusable	INTEGER NOT NULL,
	is_ephemeral	INTEGER NOT NULL,
	is_preauthorized INTEGER NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	expires_unix_s	INTEGER NOT NULL,
	revoked_unix_s	INTEGER NOT NULL,
	last_used_unix_s INTEGER NOT NULL,
	uses		INTEGER NOT NULL,
	CHECK (is_reusable OR uses <= 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_keys_user ON auth_keys (user_id);

-- What only a committed change alters. user_id of a tagged node: who registered it.
CREATE TABLE nodes (
	id		INTEGER PRIMARY KEY AUTOINCREMENT,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	user_id		INTEGER NOT NULL REFERENCES users (id),
	machine_key	BLOB NOT NULL CHECK (length(machine_key) = 32),
	node_key	BLOB NOT NULL UNIQUE CHECK (length(node_key) = 32),
	name		TEXT NOT NULL,
	is_name_given	INTEGER NOT NULL,
	ip4		TEXT NOT NULL,
	ip6		TEXT NOT NULL,
	tags		TEXT NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	key_expiry_unix_s INTEGER NOT NULL,
	is_ephemeral	INTEGER NOT NULL,
	is_authorized	INTEGER NOT NULL,
	authkey_id	TEXT NOT NULL,
	UNIQUE (tailnet_id, name),
	UNIQUE (tailnet_id, ip4),
	UNIQUE (tailnet_id, ip6)
) STRICT;
CREATE INDEX nodes_user ON nodes (user_id);

-- What clients report and resend: written lazily, apart from the record that must not be lost.
CREATE TABLE node_state (
	node_id		INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	hostinfo	TEXT NOT NULL,
	disco_key	BLOB NOT NULL,
	endpoints	TEXT NOT NULL,
	home_derp	INTEGER NOT NULL,
	cap_version	INTEGER NOT NULL,
	last_seen_unix_s INTEGER NOT NULL,
	is_online	INTEGER NOT NULL
) STRICT;

-- Addresses of removed nodes rest before they are given out again; the longest rested first.
CREATE TABLE address_history (
	id		INTEGER PRIMARY KEY AUTOINCREMENT,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	ip		TEXT NOT NULL,
	released_unix_s	INTEGER NOT NULL,
	UNIQUE (tailnet_id, ip)
) STRICT;

CREATE TABLE audit (
	id		INTEGER PRIMARY KEY AUTOINCREMENT,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	at_unix_s	INTEGER NOT NULL,
	actor		TEXT NOT NULL,
	source		TEXT NOT NULL,
	what		TEXT NOT NULL,
	target		TEXT NOT NULL,
	before		TEXT,
	after		TEXT
) STRICT;
CREATE INDEX audit_time ON audit (tailnet_id, at_unix_s);
