-- The severity of a log record on one scale: 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal, which are the
-- first severity numbers of OpenTelemetry's bands; 0 if it is unknown. The number decides. Without one it is the last
-- word of the text, in the spellings of common loggers: `Warning`, `[err]`, `Level.INFO`, `ERROR2`, glog's letters, syslog's and
-- java.util.logging's names. Syslog's critical, alert and emergency are fatal, as critical is in .NET and Python.
CREATE OR REPLACE FUNCTION clew_level AS (severity_number, severity_text) ->
    if(severity_number BETWEEN 1 AND 24, toUInt8(intDiv(severity_number - 1, 4) * 4 + 1),
        toUInt8(transform(lower(extract(severity_text, '(^[A-Za-z]|[A-Za-z]{2,})[^A-Za-z]*$')),
            ['trace', 'trc', 't', 'finest', 'silly',
             'debug', 'dbg', 'd', 'verbose', 'v', 'finer', 'fine', 'config',
             'info', 'inf', 'i', 'information', 'informational', 'notice', 'n', 'log', 'success', 'ok',
             'warn', 'wrn', 'w', 'warning',
             'error', 'err', 'eror', 'e', 'severe', 'dpanic',
             'fatal', 'ftl', 'f', 'critical', 'crit', 'c', 'alert', 'a', 'emergency', 'emerg', 'panic'],
            [1, 1, 1, 1, 1,
             5, 5, 5, 5, 5, 5, 5, 5,
             9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
             13, 13, 13, 13,
             17, 17, 17, 17, 17, 17,
             21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21], 0)))
