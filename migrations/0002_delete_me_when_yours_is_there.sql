-- Holds the number until the real 0002 is here; then delete this file.
CREATE TEMP TABLE holds_the_number (x INTEGER);
DROP TABLE holds_the_number;
