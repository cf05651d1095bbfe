-- Up to when everything that was inserted is settled, and went through the steps that are named; NULL if it is not
-- known.
SELECT if(uniqExact(Name) < length({names:Array(String)}), NULL, clew_time(min(SettledUntil))) AS settled_until
FROM otel.clew_settler FINAL
WHERE Name IN {names:Array(String)}
