-- How much may be sent into the relay: bytes per second; 0: as much as one likes. subject is "default" (every
-- node), "node <id>", "user <id>" or a tag. A quota goes with its node or user.

CREATE TABLE quotas (
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	subject		TEXT NOT NULL,
	node_id		INTEGER REFERENCES nodes (id) ON DELETE CASCADE,
	user_id		INTEGER REFERENCES users (id) ON DELETE CASCADE,
	bytes_per_s	INTEGER NOT NULL CHECK (bytes_per_s >= 0),
	PRIMARY KEY (tailnet_id, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX quotas_node ON quotas (node_id) WHERE node_id IS NOT NULL;
CREATE INDEX quotas_user ON quotas (user_id) WHERE user_id IS NOT NULL;
