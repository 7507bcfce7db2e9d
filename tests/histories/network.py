"""A network service on PostgreSQL, 20 revisions in two lines with labels, that stay apart: expand and contract."""

from tests.histories import History, Revision


def column(table: str, name: str, kind: str) -> tuple[str, str]:
    return f'op.add_column("{table}", sa.Column("{name}", {kind}))', f'op.drop_column("{table}", "{name}")'


def dropped(table: str, name: str, kind: str) -> tuple[str, str]:
    return column(table, name, kind)[::-1]


NETWORK: History = [
    Revision(
        "kilo",
        'op.create_table("ports", sa.Column("id", sa.String(36), primary_key=True), '
        'sa.Column("mac", sa.String(32)), sa.Column("old", sa.Integer), sa.Column("older", sa.Text))',
        'op.drop_table("ports")',
    ),
    Revision(
        "3a09975873ac",
        "op.execute(\"INSERT INTO ports VALUES ('a', '00:11', 1, 'x'), ('b', NULL, 2, NULL)\")",
        'op.execute("DELETE FROM ports")',
    ),
    Revision("30018084ec99", *column("ports", "new", "sa.Integer"), labels=("expand",)),
    Revision("9859ac9c136", 'op.execute("UPDATE ports SET new = old + 1")'),
    Revision(
        "31337ec0ffee",
        'op.create_table("routers", sa.Column("id", sa.String(36), primary_key=True), '
        'sa.Column("port", sa.String(36), sa.ForeignKey("ports.id", ondelete="SET NULL")))',
        'op.drop_table("routers")',
    ),
    Revision("2e5352a0ad4d", *column("routers", "ha", "sa.Boolean, nullable=False, server_default=sa.sql.false()")),
    Revision(
        "11926bcfe72d",
        'op.create_unique_constraint("uniq_mac", "ports", ["mac", "id"])',
        'op.drop_constraint("uniq_mac", "ports", type_="unique")',
    ),
    Revision(
        "4af11ca47297",
        "op.execute(\"CREATE TYPE port_kind AS ENUM ('in', 'out')\")\n"
        'op.add_column("ports", sa.Column("kind", postgresql.ENUM(name="port_kind", create_type=False), '
        'server_default="in"))',
        'op.drop_column("ports", "kind")\nop.execute("DROP TYPE port_kind")',
    ),
    Revision("1b294093239c", *column("ports", "ip", "postgresql.CIDR")),
    Revision("8a6d8bdae39", "op.execute(\"UPDATE ports SET ip = '10.0.0.0/8' WHERE id = 'a'\")"),
    Revision(
        "2b4c2465d44b",
        'op.create_index("ix_ip", "ports", ["ip"], postgresql_using="gist", postgresql_ops={"ip": "inet_ops"})',
        'op.drop_index("ix_ip")',
    ),
    Revision(
        "1df244e556f5",
        'op.execute("ALTER TABLE ports ALTER new SET STATISTICS 500")',
        'op.execute("ALTER TABLE ports ALTER new SET STATISTICS -1")',
    ),
    Revision(
        "5ffceebfada",
        *dropped("ports", "old", "sa.Integer"),
        down="3a09975873ac",
        labels=("contract",),
        depends="9859ac9c136",
    ),
    Revision(
        "4ffceebfcdc",
        'op.alter_column("ports", "mac", type_=sa.String(64))',
        'op.alter_column("ports", "mac", type_=sa.String(32))',
    ),
    Revision("7bbb25278f53", "op.execute(\"DELETE FROM ports WHERE id = 'b'\")"),
    Revision(
        "89ab9a816d70",
        'op.alter_column("ports", "mac", nullable=False)',
        'op.alter_column("ports", "mac", nullable=True)',
    ),
    Revision("c879c5e1ee90", *dropped("ports", "older", "sa.Text")),
    Revision(
        "8fd3918ef6f4",
        'op.rename_table("ports", "all_ports")',
        'op.rename_table("all_ports", "ports")',
        depends="1df244e556f5",
    ),
    Revision(
        "4bcd4df1f426",
        'op.create_check_constraint(None, "all_ports", "length(mac) > 1")',
        'op.drop_constraint("all_ports_mac_check", "all_ports", type_="check")',
    ),
    Revision("b67e765a3524", 'op.execute("ANALYZE all_ports")'),
]
