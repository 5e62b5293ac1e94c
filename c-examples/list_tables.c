/*
 * What is in a region: its tables, who has it open, and who reads what.
 *
 *   list_tables URI
 */
#include <inttypes.h>

#include "numbers.h"

static void list(csm_region_t *region) {
    csm_catalog_t *catalog;
    OK(csm_catalog_read(region, &catalog, &error));
    for (uint64_t i = 0; i < csm_catalog_len(catalog); i++) {
        csm_table_info_t table = {.struct_size = sizeof table};
        OK(csm_catalog_entry(catalog, i, &table, &error));
        printf("table %s: %" PRIu64 " rows, %" PRIu64 " columns, %" PRIu64 " bytes\n", table.name, table.rows,
               table.columns, table.data_bytes);
    }
    csm_catalog_free(catalog);

    csm_members_t *members;
    OK(csm_members_read(region, &members, &error));
    for (uint64_t i = 0; i < csm_members_len(members); i++) {
        csm_member_info_t member = {.struct_size = sizeof member};
        OK(csm_members_entry(members, i, &member, &error));
        printf("process %" PRIu64 " (%s) holds %" PRIu64 " bytes\n", member.pid, member.command, member.live_bytes);
    }
    csm_members_free(members);

    csm_leases_t *leases;
    OK(csm_leases_read(region, &leases, &error));
    for (uint64_t i = 0; i < csm_leases_len(leases); i++) {
        csm_lease_info_t lease = {.struct_size = sizeof lease};
        OK(csm_leases_entry(leases, i, &lease, &error));
        printf("process %" PRIu64 " reads %s%s\n", lease.pid, lease.table, lease.retired ? " (replaced)" : "");
    }
    csm_leases_free(leases);
}

int main(int argc, char **argv) {
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    if (argc > 1) {
        OK(csm_region_open(ctx, argv[1], &region, &error));
        list(region);
        return 0;
    }
    region = example_region(ctx, "list", "size=16M");
    numbers_publish(region, "small", 1, 10, NULL);
    numbers_publish(region, "larger", 1, 1000, NULL);
    csm_table_t *table;
    OK(csm_table_open(region, "small", NULL, &table, &error));
    list(region);

    /* A list is what was so when it was read. */
    csm_catalog_t *catalog;
    csm_table_info_t info = {.struct_size = sizeof info};
    OK(csm_catalog_read(region, &catalog, &error));
    OK(csm_table_remove(region, "larger", &error));
    EXPECT(csm_catalog_len(catalog) == 2);
    OK(csm_catalog_entry(catalog, 0, &info, &error));
    EXPECT(strcmp(info.name, "larger") == 0 && info.rows == 1000 && info.columns == 1 && info.data_bytes == 8000);
    csm_catalog_free(catalog);

    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
