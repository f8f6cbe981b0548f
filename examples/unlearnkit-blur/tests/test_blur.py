from unlearnkit.testing import Check, Subject, components_of, parametrize_with_checks


@parametrize_with_checks(components_of("blur"))
def test_conformance(component: Subject, check: Check) -> None:
    check(component)
