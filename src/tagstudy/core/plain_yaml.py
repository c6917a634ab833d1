"""YAML as params.yaml may have it."""

import yaml

DEEPEST = 10  # levels of lists and sections in params.yaml


class PlainLoader(yaml.SafeLoader):
    """Loads YAML without aliases, a few lines of which may stand for gigabytes, of little depth, each key once."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"line {self.line + 1}: an alias; write out what it stands for")
        if self.depth == DEEPEST:
            raise yaml.YAMLError(f"line {self.line + 1}: more than {DEEPEST} levels of lists and sections")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: {key.value!r:.50} again; remove one of them")
            seen.add(key.value)
        return super().construct_mapping(node, deep)
