"""One S3 bucket as drkeeper sees it: every key, every version, every answer; knows nothing of vaults and systems."""
