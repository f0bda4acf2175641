-- Routes that a node may have, advertised or not; and those that it is the primary router of, so that a restart
-- of the server moves none of them.

ALTER TABLE nodes ADD COLUMN approved_routes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE node_state ADD COLUMN primary_routes TEXT NOT NULL DEFAULT '[]';
