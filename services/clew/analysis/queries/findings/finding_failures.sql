-- The rules that did not run the last time, and why; since: in seconds since 1970.
SELECT Rule AS rule, Error AS error, Since AS since
FROM otel.clew_finding_failures FINAL
WHERE Error != ''
ORDER BY rule
