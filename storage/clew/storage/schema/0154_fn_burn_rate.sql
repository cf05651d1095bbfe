-- How fast an error budget is spent: the share of bad occurrences over the share that the objective allows. At 1
-- the budget of a period lasts exactly for the period; over a whole period it is the spent share of the budget.
CREATE OR REPLACE FUNCTION clew_burn_rate AS (bad, total, objective) -> bad / greatest(total, 1) / (1 - objective)
