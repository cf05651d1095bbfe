-- Its rows and its merged parts are on disk before they count, as those of every table.
ALTER TABLE otel.clew_watched
    MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
