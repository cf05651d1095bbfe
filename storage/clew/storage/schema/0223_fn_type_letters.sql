-- The type of each attribute of a map, from a part of AttributeTypes: a letter for each, in the map's order. All are
-- strings where the part does not fit the map: the row is another writer's, or attributes were removed since.
CREATE OR REPLACE FUNCTION clew_type_letters AS (types, attributes) -> if(
    length(types) = length(mapKeys(attributes)), splitByString('', types), arrayMap(key -> 's', mapKeys(attributes)))
