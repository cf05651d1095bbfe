-- The times before the end of a window, in seconds, over which burn rates are computed: 1 hour, 6 hours, 3 days.
CREATE OR REPLACE FUNCTION clew_burn_windows AS () -> [3600, 21600, 259200]
