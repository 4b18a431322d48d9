# Two applications, so that a new one is tried while the old one stays. Needs 8 MB of flash.
cistern_partitions(partitions-ota.csv)
list(APPEND SDKCONFIG_DEFAULTS ${CISTERN_COMMON_DIR}/sdkconfig.flash_8mb)
