-- Key expiry switched off for one node, the one warning before it, and nodes that are planned before they join.

ALTER TABLE nodes ADD COLUMN is_expiry_off INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN is_expiry_warned INTEGER NOT NULL DEFAULT 0;

-- Name and addresses promised to the node that joins with the key; the row goes with that.
CREATE TABLE node_plans (
	key_id		TEXT PRIMARY KEY REFERENCES auth_keys (id) ON DELETE CASCADE,
	tailnet_id	INTEGER NOT NULL REFERENCES tailnets (id),
	name		TEXT NOT NULL,
	ip4		TEXT NOT NULL,
	ip6		TEXT NOT NULL,
	UNIQUE (tailnet_id, name),
	UNIQUE (tailnet_id, ip4),
	UNIQUE (tailnet_id, ip6)
) STRICT, WITHOUT ROWID;

-- What is promised to one is not given to another: unique over both tables.
CREATE TRIGGER node_plans_add BEFORE INSERT ON node_plans
WHEN EXISTS (SELECT 1 FROM nodes WHERE tailnet_id = NEW.tailnet_id AND name = NEW.name)
	OR EXISTS (SELECT 1 FROM nodes WHERE tailnet_id = NEW.tailnet_id AND ip4 = NEW.ip4)
	OR EXISTS (SELECT 1 FROM nodes WHERE tailnet_id = NEW.tailnet_id AND ip6 = NEW.ip6)
BEGIN
	SELECT RAISE(ABORT, 'name or address belongs to a node');
END;
CREATE TRIGGER nodes_add BEFORE INSERT ON nodes
WHEN EXISTS (SELECT 1 FROM node_plans WHERE tailnet_id = NEW.tailnet_id AND name = NEW.name)
	OR EXISTS (SELECT 1 FROM node_plans WHERE tailnet_id = NEW.tailnet_id AND ip4 = NEW.ip4)
	OR EXISTS (SELECT 1 FROM node_plans WHERE tailnet_id = NEW.tailnet_id AND ip6 = NEW.ip6)
BEGIN
	SELECT RAISE(ABORT, 'name or address is planned for another node');
END;
CREATE TRIGGER nodes_set BEFORE UPDATE OF name, ip4, ip6 ON nodes
WHEN EXISTS (SELECT 1 FROM node_plans WHERE tailnet_id = NEW.tailnet_id AND name = NEW.name)
	OR EXISTS (SELECT 1 FROM node_plans WHERE tailnet_id = NEW.tailnet_id AND ip4 = NEW.ip4)
	OR EXISTS (SELECT 1 FROM node_plans WHERE tailnet_id = NEW.tailnet_id AND ip6 = NEW.ip6)
BEGIN
	SELECT RAISE(ABORT, 'name or address is planned for another node');
END;
