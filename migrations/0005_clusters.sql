-- K3s clusters: which ranges of addresses belong to which. A range is a prefix, '' for none; lan is several with
-- commas between. key_id: the auth key that was made last for the cluster, '' for none; it may be gone.

CREATE TABLE clusters (
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	name		TEXT NOT NULL,
	tag		TEXT NOT NULL,
	pod4		TEXT NOT NULL,
	pod6		TEXT NOT NULL,
	service4	TEXT NOT NULL,
	service6	TEXT NOT NULL,
	lan		TEXT NOT NULL,
	key_id		TEXT NOT NULL,
	created_unix_s	INTEGER NOT NULL,
	PRIMARY KEY (tailnet_id, name),
	UNIQUE (tailnet_id, tag)
) STRICT, WITHOUT ROWID;
