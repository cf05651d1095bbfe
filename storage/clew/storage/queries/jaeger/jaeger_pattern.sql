-- Fails where a text is no regular expression to the engine.
SELECT match('', {pattern:String}) AS matches
