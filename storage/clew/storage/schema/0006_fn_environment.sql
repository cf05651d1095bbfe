-- The environment of a resource, under its present name or the older one.
CREATE OR REPLACE FUNCTION clew_environment AS (resource) ->
    if(resource['deployment.environment.name'] != '',
       resource['deployment.environment.name'], resource['deployment.environment'])
