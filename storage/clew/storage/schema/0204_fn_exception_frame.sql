-- The innermost frame of a stack trace that is the service's own code, as it is written there: Python's stack traces
-- have it last, those of Java, .NET, Node, Go and Ruby first. Empty if there is none.
CREATE OR REPLACE FUNCTION clew_exception_frame AS stack ->
    arrayMap(
        frames -> arrayFilter(frame -> NOT match(frame,
            'site-packages|dist-packages|/lib(64)?/python|<frozen |<string>|node_modules|node:|\\(internal/|/usr/local/go/|/pkg/mod/|/gems/|/lib/ruby/|at (?:(?:java|javax|jakarta|jdk|sun|kotlin|scala|System|Microsoft)\\.|org\\.(?:springframework|apache|hibernate|junit)|com\\.(?:sun|zaxxer)|io\\.(?:netty|grpc|opentelemetry))'),
            frames)[if(match(frames[1], '^\\s*File '), -1, 1)],
        [extractAll(stack, '(?m)^\\s*(?:File "[^"\n]+", line [0-9]+, in [^\n]+|at [^\n]+|(?:from )?/[^\\s:]+\\.(?:go|rb):[0-9]+[^\n]*)')])[1]
