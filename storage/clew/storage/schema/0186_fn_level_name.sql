-- The name of a level of clew_level; empty if it is unknown.
CREATE OR REPLACE FUNCTION clew_level_name AS level ->
    transform(level, [1, 5, 9, 13, 17, 21], ['trace', 'debug', 'info', 'warn', 'error', 'fatal'], '')
