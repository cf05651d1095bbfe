-- What a process is called where people read it: its service.instance.id; of a UUID the first eight letters, behind the
-- pod or the host if that is known.
CREATE OR REPLACE FUNCTION clew_instance_name AS resource ->
    if(match(resource['service.instance.id'], '^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'),
        trimBoth(concat(
            firstNonDefault(resource['k8s.pod.name'], resource['host.name']), ' ',
            substring(resource['service.instance.id'], 1, 8))),
        firstNonDefault(resource['service.instance.id'], resource['k8s.pod.name'], resource['host.name']))
