-- Credentials of the API: keys, OAuth clients and their access tokens, sign-in links and sessions of the console.
-- Only the SHA-256 of a secret is kept. user_id NULL: bound to role, not to a user. Scopes are separated by blanks.

CREATE TABLE credentials (
	id		TEXT PRIMARY KEY,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	kind		TEXT NOT NULL,
	user_id		INTEGER REFERENCES users (id),
	role		TEXT NOT NULL,
	parent		TEXT REFERENCES credentials (id) ON DELETE CASCADE,
	secret_hash	BLOB NOT NULL CHECK (length(secret_hash) = 32),
	name		TEXT NOT NULL,
	description	TEXT NOT NULL,
	scopes		TEXT NOT NULL,
	tags		TEXT NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	expires_unix_s	INTEGER NOT NULL,
	revoked_unix_s	INTEGER NOT NULL,
	last_used_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_user ON credentials (user_id);
CREATE INDEX credentials_parent ON credentials (parent);

-- The record is read newest first, of everything, of one actor, or about one object.
CREATE INDEX audit_newest ON audit (tailnet_id, id);
CREATE INDEX audit_actor ON audit (tailnet_id, actor, id);
CREATE INDEX audit_target ON audit (tailnet_id, target, id);
