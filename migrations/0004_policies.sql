-- Every version of the policy, its text as it was sent; empty: no policy, everything is allowed. The newest is in
-- force. confirm_by_unix_s: unless it is confirmed by then, the text of version reverts_to (0: none) comes back
-- as a new version; 0: it stays.

CREATE TABLE policies (
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	version		INTEGER NOT NULL CHECK (version > 0),
	made_unix_s	INTEGER NOT NULL,
	author		TEXT NOT NULL,
	comment		TEXT NOT NULL,
	confirm_by_unix_s INTEGER NOT NULL,
	reverts_to	INTEGER NOT NULL,
	text		BLOB NOT NULL,
	PRIMARY KEY (tailnet_id, version)
) STRICT;
