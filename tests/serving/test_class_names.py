from mobilenet_v2.serving.class_names import imagenet_classes, published_classes


def test_published_networks_have_imagenets_names() -> None:
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[281]) == ("tench, Tinca tinca", "tabby, tabby cat")
    assert names[999].startswith("toilet tissue")
    assert published_classes(1001)[:2] == ("background", names[0])
    assert published_classes(7) == ()
