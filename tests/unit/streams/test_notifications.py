"""News reaches those who listen, and only those whose it is."""

from xwe.streams.notifications import MAX_WAITING, Notifications


def test_each_listener_of_an_owner_gets_each_notification_in_order():
    notifications, woken = Notifications(), []
    one = notifications.subscribe("me", lambda: woken.append("one"))
    other = notifications.subscribe("me", lambda: woken.append("other"))
    assert notifications.publish("me", b"1") == 2
    assert notifications.publish("me", b"2") == 2
    assert one.take() == other.take() == [b"1", b"2"]
    assert one.take() == []
    assert woken == ["one", "other"] * 2


def test_nobody_hears_what_is_not_theirs():
    notifications = Notifications()
    mine = notifications.subscribe("me", list)
    assert notifications.publish("you", b"1") == 0
    assert mine.take() == []


def test_who_has_left_hears_nothing():
    notifications = Notifications()
    mine = notifications.subscribe("me", list)
    mine.close()
    mine.close()
    assert notifications.publish("me", b"1") == 0
    assert mine.take() == []
    assert not notifications._by_owner


def test_who_takes_nothing_loses_the_oldest():
    notifications = Notifications()
    mine = notifications.subscribe("me", list)
    for number in range(MAX_WAITING + 5):
        notifications.publish("me", b"%d" % number)
    assert mine.take()[0] == b"5"
