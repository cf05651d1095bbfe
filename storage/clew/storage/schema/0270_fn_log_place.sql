-- Where in the code a log record comes from, by today's and older conventions: `function#line`, or the file in place of
-- the function; empty if the record does not say.
CREATE OR REPLACE FUNCTION clew_log_place AS attributes ->
    if(
        firstNonDefault(attributes['code.function.name'], attributes['code.function'], attributes['code.file.path'],
            attributes['code.filepath']) = '', '',
        concat(
            firstNonDefault(attributes['code.function.name'], attributes['code.function'], attributes['code.file.path'],
                attributes['code.filepath']),
            '#', firstNonDefault(attributes['code.line.number'], attributes['code.lineno'])))
